"""The terminal: standard output for results, standard error for everything else, and how numbers are written there."""

import json
import os
import sys
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.text import Text

ANY_WIDTH = 10_000


class _Output(Console):
    """As wide as the terminal is; a pipe or file gets every name whole, unless COLUMNS says how wide it is."""

    @property  # type: ignore[misc]  # nobody sets it
    def size(self) -> ConsoleDimensions:
        """Columns and lines."""
        found = super().size
        if self._width is not None or self.is_terminal or "COLUMNS" in os.environ:
            return found
        return ConsoleDimensions(ANY_WIDTH, found.height)


out: Console = _Output(soft_wrap=False, highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(content: Any) -> None:
    """Print exactly one JSON object; with escapes where it holds what is not Unicode."""
    text = json.dumps(content, ensure_ascii=False, default=str)
    if any("\ud800" <= character <= "\udfff" for character in text):
        text = json.dumps(content, default=str)
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Tell something that the user should know."""
    err.print(Text("note: ", "yellow") + Text(text))


def fail(text: str) -> None:
    """Tell an error, in one line."""
    err.print(Text("error: ", "bold red") + Text(" ".join(text.split())), soft_wrap=True)


def seconds(value: float) -> str:
    """Write a duration as people read it."""
    return f"{value:.1f} s" if value < 100 else f"{value / 60:.1f} min"


def size(count: int) -> str:
    """Write a number of bytes as people read it."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"
