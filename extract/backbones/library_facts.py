"""What an installed library says of itself, asked once: importing timm or open_clip to look up a name takes seconds."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cache import remembered
from extract.errors import BackboneError


def library_fact(library: str, question: str, ask: Callable[[], Any]) -> Any:
    """Return the JSON value that `ask()` gives, remembered until the library is installed anew.

    Raises
    ------
    BackboneError
        If the library is not installed.
    """
    found = find_spec(library)
    if found is None or found.origin is None:
        raise BackboneError(f"{library} is not installed; `pip install {library}`")
    return json.loads(remembered(Path(found.origin), question, lambda _: json.dumps(ask())))
