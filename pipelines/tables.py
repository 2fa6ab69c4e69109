"""Tables in a terminal of any width: names stay legible, numbers whole."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from rich import box
from rich.cells import cell_len
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pipelines import console

_SHORT_NAME, _SHORTEST_NAME = 16, 12


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[Any]],
    title: str | None = None,
    right: Sequence[int] = (),
    prose: Sequence[int] = (),
) -> Table:
    """Lay out rows under headings; the columns numbered in `right` are aligned to the right.

    In a terminal that is too narrow cells go on on the next line between words, but for those in `right`. If that is not
    enough, long words are cut in the middle, but for those of the columns in `prose`, which go on on the next line, too.
    """
    cells = [[cell if isinstance(cell, Text) else Text(str(cell)) for cell in row] for row in rows]
    laid = _lay_out(headings, cells, title, right)
    if (beyond := _beyond(laid)) <= 0:
        return laid
    columns = [[heading, *(row[number].plain for row in cells)] for number, heading in enumerate(headings)]
    widths = _fit(columns, beyond, right, prose)
    fitted = [
        [cell if number in prose else _cut_words(cell, widths[number]) for number, cell in enumerate(row)] for row in cells
    ]
    return _lay_out(headings, fitted, title, right, widths)


def table_of_names(
    columns: Mapping[str, Sequence[Any]], title: str, right: Collection[str], name: str, spare: Sequence[str]
) -> Table:
    """Lay out columns, heading by heading, so that the names in one of them stay legible, each on a line of its own.

    In a terminal that is too narrow, the columns in `spare` are left out, the first one first, as far as need be; then names
    are cut in the middle.
    """
    kept = dict(columns)
    left_out = iter(spare)
    while (beyond := _beyond(_with_names(kept, title, right, name))) > 0 and (least := next(left_out, None)) is not None:
        del kept[least]
    if beyond > 0:
        most = max(_SHORT_NAME, max(map(len, kept[name])) - beyond)
        kept[name] = [_cut(cell, most) for cell in kept[name]]
    return _with_names(kept, title, right, name)


def _with_names(columns: Mapping[str, Sequence[Any]], title: str, right: Collection[str], name: str) -> Table:
    headings = list(columns)
    places = [number for number, heading in enumerate(headings) if heading in right]
    rows = [[Text(str(cell)) for cell in row] for row in zip(*columns.values(), strict=True)]
    return _lay_out(headings, rows, title, places, whole=headings.index(name))


def _lay_out(
    headings: Sequence[str],
    rows: Sequence[Sequence[Text]],
    title: str | None,
    right: Collection[int],
    widths: Sequence[int] | None = None,
    whole: int | None = None,
) -> Table:
    """Return a table with columns as wide as that, or as need be; the column `whole` is never broken."""
    laid = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for number, heading in enumerate(headings):
        side: Literal["left", "right"] = "right" if number in right else "left"
        width = None if widths is None else widths[number]
        laid.add_column(heading, justify=side, overflow="fold", no_wrap=number == whole, width=width)
    for row in rows:
        laid.add_row(*row)
    return laid


def _beyond(laid: Table) -> int:
    """Return how much wider than the terminal a table would be if nothing in it were broken."""
    return (
        Measurement.get(console.out, console.out.options.update(max_width=console.ANY_WIDTH), laid).maximum - console.out.width
    )


def _fit(columns: Sequence[Sequence[str]], beyond: int, right: Collection[int], prose: Collection[int]) -> list[int]:
    """Return how wide columns are to be, together so much less than they would be: first without words broken, then with."""
    widths = [max(cell_len(line) for cell in column for line in cell.splitlines() or [""]) for column in columns]
    words = [max((cell_len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    whole = [width if number in right else 0 for number, width in enumerate(widths)]
    unbroken = [min(word, _SHORT_NAME) if number in prose else word for number, word in enumerate(words)]
    short, shortest = ([length] * len(columns) for length in (_SHORT_NAME, _SHORTEST_NAME))
    for least in (list(map(max, unbroken, whole)), list(map(max, short, whole)), list(map(max, shortest, whole)), shortest):
        while beyond > 0 and (wider := [number for number, width in enumerate(widths) if width > least[number]]):
            widths[max(wider, key=lambda number: widths[number])] -= 1
            beyond -= 1
    return widths


def _cut_words(cell: Text, most: int) -> Text:
    """Leave out the middle of words that are longer than that."""
    return Text(re.sub(r"\S+", lambda word: _cut(word[0], most), cell.plain), cell.style)


def _cut(text: str, most: int) -> str:
    """Leave out the middle of a text that is longer than that."""
    end = (most - 1) // 2
    return text if len(text) <= most else f"{text[: most - 1 - end]}…{text[-end:]}"
