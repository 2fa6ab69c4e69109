"""What every self-contained page shares: the frame around its content, the style, the script and its digest."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

ASSETS = Path(__file__).parent / "assets"


def fill(page: Path, scripts: Sequence[str], filters: Mapping[str, Callable[..., Any]], context: Mapping[str, Any]) -> str:
    """Return a page whose template extends `frame.html`; everything that comes from the context is escaped.

    Parameters
    ----------
    page
        The template.
    scripts
        Files of `ASSETS` that make up the page's only script, in order.
    filters
        Name -> function, for the template.
    context
        What the template names, besides the frame's own.
    """
    script = Markup("\n".join((ASSETS / name).read_text(encoding="utf-8") for name in scripts))  # noqa: S704  (our own)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = Markup((ASSETS / "style.css").read_text(encoding="utf-8"))  # noqa: S704  (our own)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader([page.parent, ASSETS]), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= filters
    made = templates.get_template(page.name).render(**context, script=script, script_digest=digest, style=style)
    return made.encode("utf-8", errors="replace").decode("utf-8")
