"""The comparison as one self-contained HTML page, in the style of the reports."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pipelines.compare.charts import accuracy_chart, samples_chart
from pipelines.compare.costs import SWEEP
from pipelines.compare.figure import rows_of, shown_size, sizes_of
from pipelines.console import seconds, size
from pipelines.report.page import ASSETS as REPORT_ASSETS

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("decode.js", "page.js")


def render(found: dict[str, Any], yaml: str) -> str:
    """Return the page.

    Parameters
    ----------
    found
        What `comparison.json` holds.
    yaml
        The config, every default spelt out.
    """
    methods = list(dict.fromkeys(row["method"] for row in found["standings"]))
    sizes = sizes_of(found)
    scripts = ((REPORT_ASSETS / part).read_text(encoding="utf-8") for part in SCRIPTS)
    script = Markup("\n".join(scripts))  # noqa: S704  (our own)
    style = Markup((REPORT_ASSETS / "style.css").read_text(encoding="utf-8"))  # noqa: S704  (our own)
    reference = {row["size"]: row for row in found["standings"] if row["method"] == "full"}
    context = {
        **found,
        "sizes": [{"name": name, "rows": rows_of(found, name)} for name in sizes],
        "shown": rows_of(found, shown_size(found)),
        "shown_size": shown_size(found),
        "full": reference,
        "chart": accuracy_chart(rows_of(found, shown_size(found)), methods),
        "curves": samples_chart(found["standings"], methods) if len(sizes) > 1 else None,
        "sweep": SWEEP,
        "has_energy": all(row["costs"]["energy"] for row in found["standings"]),
        "sections": _sections(found, len(sizes)),
        "yaml": yaml,
        "script": script,
        "style": style,
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"seconds": seconds, "bytes": lambda count: size(int(count))}
    page = templates.get_template("comparison.html").render(**context)
    return page.encode("utf-8", errors="replace").decode("utf-8")


def _sections(found: dict[str, Any], sizes: int) -> list[tuple[str, str]]:
    told = [
        ("overview", "Accuracy and time", True),
        ("scores", "Scores", True),
        ("costs", "Costs", True),
        ("samples", "By labelled samples", sizes > 1),
        ("failures", "What failed", found["failures"]),
        ("making", "How it was made", True),
    ]
    return [(id_, title) for id_, title, there in told if there]
