"""The comparison as one self-contained HTML page, in the style of the reports."""

from pathlib import Path
from typing import Any

from pipelines.compare.charts import accuracy_chart, samples_chart
from pipelines.compare.costs import SWEEP
from pipelines.compare.figure import rows_of, shown_size, sizes_of
from pipelines.console import seconds, size
from pipelines.report.frame import fill

PAGE = Path(__file__).parent / "assets" / "comparison.html"
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
    }
    return fill(PAGE, SCRIPTS, {"seconds": seconds, "bytes": lambda count: size(int(count))}, context)


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
