"""What a table's columns are, told by their names and values: which is the sample, the label, the split, ..."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from extract import Columns
from extract.images import ENDINGS
from extract.sources.columns import DECIMAL_COMMA, split_named
from pipelines.errors import UsageError

NAMES = {
    "text": (
        "text",
        "sentence",
        "content",
        "review",
        "body",
        "comment",
        "document",
        "description",
        "message",
        "title",
        "question",
    ),
    "label": ("label", "labels", "class", "category", "target", "sentiment", "y", "topic", "intent", "tag", "rating", "score"),
    "group": ("group", "document_id", "doc_id", "author", "user", "user_id", "patient", "patient_id", "subject", "speaker"),
    "id": ("id", "uid", "uuid", "index", "key", "row_id"),
}
PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question", "answer"),
    ("text_a", "text_b"),
    ("query", "passage"),
)
SEPARATORS = (";", "|", ",")
MOST_CLASSES = 1_000
MOSTLY = 0.95
"""Share of a column's values that are numbers where it is one of numbers."""


@dataclass(frozen=True)
class Guess:
    """What a table's columns are taken for; `why` has a line for every one of them.

    `multilabel` is as in a config: True where labels are lists, or what stands between them in a text. `flags` are the columns
    of 0 and 1, the label among them, where there are several: each might be a label of its own. `odd_split` is a column with
    names of splits and one that is none, and that name. `odd_numbers` are values of the label that training takes for none.
    """

    columns: Columns
    regression: bool = False
    multilabel: bool | str = False
    flags: tuple[str, ...] = ()
    odd_split: tuple[str, str] | None = None
    odd_numbers: tuple[str, ...] = ()
    why: dict[str, str] = dataclasses.field(default_factory=dict)


def guess_columns(
    table: dict[str, list[Any]], name: str, text: str | None = None, label: str | None = None, image: str | None = None
) -> Guess:
    """Tell which of a table's columns is what, by names and values; what the caller names is taken as it is.

    Raises
    ------
    UsageError
        If there is no column that could be a text or an image, or one that was named is not there.
    """
    listed = ", ".join(table)
    for asked, value in (("--text", text), ("--label", label), ("--image", image)):
        if value is not None and value not in table:
            raise UsageError(f"{name}: there is no column `{value}` ({asked}); columns are {listed}")
    why: dict[str, str] = {}
    left = {column: [value for value in values if not _is_blank(value)] for column, values in table.items()}
    left = {column: values for column, values in left.items() if values}

    def take(role: str, column: str | None, reason: str) -> str | None:
        if column is not None:
            left.pop(column, None)
            why[role] = reason
        return column

    split = take("split", next((c for c, v in left.items() if _is_split(v)), None), "its values are names of splits")
    odd_split = None if split is not None else next((odd for c, v in left.items() if (odd := _near_split(c, v))), None)
    if odd_split is not None and odd_split[0] != label:
        left.pop(odd_split[0])
    if label is not None:
        left.pop(label, None)
    if image is None and text is None:
        image = next((c for c, v in left.items() if _is_image(v)), None)
    take("image", image, "holds image files or paths of them")
    pair = None
    if image is None and text is None:
        lower = {column.lower(): column for column in left}
        both = next(((lower[a], lower[b]) for a, b in PAIRS if a in lower and b in lower), None)
        text, pair = both or (_longest(left), None)
    if text is None and image is None:
        raise UsageError(
            f"{name}: no column looks like a text or an image; name one with --text or --image. Columns are {listed}"
        )
    rows = len(next(iter(table.values()), ()))
    take("text", text, f"{_mean_length(table[text]):,.0f} characters on average" if text else "")
    take("pair", pair, "goes with the other text by its name")
    identity = take("id", _named(left, NAMES["id"], lambda v: len(set(map(str, v))) == rows), "a different value in every row")
    group = take("group", _named(left, NAMES["group"], lambda v: 1 < len(set(map(str, v))) < rows), "by its name")
    if label is None:
        label = _named(left, NAMES["label"], _may_be_label) or _fewest(left) or _measured(left)
    if label is None:
        label = _named(left, NAMES["label"], lambda values: len(set(map(str, values))) == 1)
    columns = Columns(text, label, split, group, identity, image, pair)
    if label is None:
        return Guess(columns, odd_split=odd_split, why=why)
    values = [value for value in table[label] if not _is_blank(value)]
    lists = any(isinstance(value, list) for value in values)
    regression = not lists and _is_number(values)
    multilabel = lists or (not regression and next((s for s in SEPARATORS if _is_several(values, s)), False))
    numbers = [number for value in values if (number := _number(value)) is not None] if regression else []
    odd_numbers = [str(value) for value in values if regression and not _is_read_as_number(value)]
    different = len(set(map(str, values)))
    why["label"] = (
        f"{different:,} different numbers from {min(numbers):g} to {max(numbers):g}" if regression
        else "lists of names" if lists
        else f"several names a row, with `{multilabel}` between them" if multilabel
        else f"{different:,} different values"
    )  # fmt: skip
    flags = tuple(column for column in table if (column == label or column in left) and _is_flag(table[column]))
    flags = flags if label in flags and len(flags) > 1 else ()
    return Guess(columns, regression, multilabel, flags, odd_split, tuple(odd_numbers), why)


def _near_split(column: str, values: Sequence[Any]) -> tuple[str, str] | None:
    """Return a column with names of several splits, training among them, and the name in it that is none."""
    if column.lower() in NAMES["label"]:
        return None
    names = list(dict.fromkeys(map(str, values))) if isinstance(values[0], str) else []
    odd = [name for name in names if split_named(name) is None]
    known = {split_named(name) for name in names} - {None}
    return (column, odd[0]) if "train" in known and len(known) > 1 and len(odd) == 1 and len(names) <= 5 else None


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _is_split(values: Sequence[Any]) -> bool:
    names = {str(value) for value in values}
    return len(names) > 1 and all(split_named(name) is not None for name in names)


def _is_image(values: Sequence[Any]) -> bool:
    first = values[:100]
    return all(
        isinstance(value, bytes)
        or (isinstance(value, dict) and {"bytes", "path"} & set(value))
        or (isinstance(value, str) and value.lower().endswith(ENDINGS))
        for value in first
    )


def _longest(columns: dict[str, list[Any]]) -> str | None:
    """Return the column most like prose: one with a well-known name, or else that of the longest texts."""
    texts = {column: values for column, values in columns.items() if all(isinstance(value, str) for value in values[:100])}
    prose = {
        column: values for column, values in texts.items() if not _is_number(values) and len(set(values)) > len(values) / 10
    }
    return _named(prose, NAMES["text"], lambda _: True) or max(prose, key=lambda c: _mean_length(prose[c]), default=None)


def _mean_length(values: Sequence[Any]) -> float:
    return sum(len(str(value or "")) for value in values) / max(1, len(values))


def _named(columns: dict[str, list[Any]], names: Sequence[str], fits: Callable[[list[Any]], bool]) -> str | None:
    lower = {column.lower(): column for column in columns}
    return next((lower[name] for name in names if name in lower and fits(columns[lower[name]])), None)


def _may_be_label(values: Sequence[Any]) -> bool:
    if any(isinstance(value, list) for value in values):
        names = {str(name) for value in values if isinstance(value, list) for name in value}
        return 1 < len(names) <= min(MOST_CLASSES, len(values))
    different = len({str(value) for value in values})
    return different > 1 and (_is_number(values) or different <= min(MOST_CLASSES, len(values) / 2))


def _fewest(columns: dict[str, list[Any]]) -> str | None:
    """Return the column with the fewest different values, if they repeat enough to be classes."""
    counts = {column: len({str(value) for value in values}) for column, values in columns.items()}
    fitting = {c: n for c, n in counts.items() if 1 < n <= min(MOST_CLASSES, len(columns[c]) / 5)}
    return min(fitting, key=lambda column: fitting[column], default=None)


def _measured(columns: dict[str, list[Any]]) -> str | None:
    """Return the column of measured numbers with fractions, if there is one alone."""
    found = [
        column
        for column, values in columns.items()
        if _is_number(values) and not all((number := _number(v)) is None or number.is_integer() for v in values)
    ]
    return found[0] if len(found) == 1 else None


def _is_number(values: Sequence[Any]) -> bool:
    """Tell whether values are measured numbers, and not the numbers of a few classes; a few may be no numbers."""
    numbers = [number for value in values if (number := _number(value)) is not None]
    whole = all(number.is_integer() for number in numbers)
    return len(numbers) >= MOSTLY * len(values) and len(set(numbers)) > (50 if whole else 10)


def _number(value: Any) -> float | None:
    """Return a number, which may be written with a decimal comma; None where it is none."""
    if isinstance(value, bool):
        return None
    try:
        return float(value.replace(",", ".") if isinstance(value, str) and DECIMAL_COMMA.fullmatch(value) else value)
    except (TypeError, ValueError):
        return None


def _is_read_as_number(value: Any) -> bool:
    return _number(value) is not None and not (isinstance(value, str) and DECIMAL_COMMA.fullmatch(value))


def _is_flag(values: Sequence[Any]) -> bool:
    """Tell whether values are 0 and 1, both of them and in every row."""
    return {str(value) for value in values} == {"0", "1"}


def _is_several(values: Sequence[Any], separator: str) -> bool:
    texts = [value for value in values if isinstance(value, str)]
    parts = [[part.strip() for part in text.split(separator)] for text in texts]
    names = {part for row in parts for part in row}
    return sum(len(row) > 1 for row in parts) > len(texts) / 20 and len(names) <= min(len(set(texts)), MOST_CLASSES)
