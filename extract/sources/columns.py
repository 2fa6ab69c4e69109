"""Columns to samples: which column is the text, the label, ..., and what their values may be."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from extract.errors import NoSuchSourceError, SourceError
from extract.samples import Samples, is_nothing

LABEL_SEPARATOR = "\x1f"
"""Stands between the names of a sample's labels where they come from several columns."""

_ANSWERS = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True}
_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Columns:
    """The names of the columns that matter; None where the source has none.

    Attributes
    ----------
    text
        The sample.
    label
        Its class; or several columns of 0 and 1, each a label that the sample has or not.
    split
        `train`, `validation` or `test` (also `training`, `valid`, `val`, `dev`, `testing`).
    group
        What must not be on both sides of a split, such as a document or a patient.
    id
        A name for each sample; the place in the source where there is none.
    """

    text: str = "text"
    label: str | tuple[str, ...] | None = None
    split: str | None = None
    group: str | None = None
    id: str | None = None


def samples_from_columns(
    name: str,
    table: Mapping[str, Sequence[Any]],
    columns: Columns,
    places: Sequence[str],
    faults: Mapping[int, str],
    splits: Sequence[str | None] | None = None,
) -> Samples:
    """Pick the columns that matter out of a source's table.

    Parameters
    ----------
    name
        The source, for messages.
    table
        Column name -> values.
    columns
        Which is which.
    places
        Where each row is, such as `reviews.csv:17`.
    faults
        Row -> why it could not be read.
    splits
        Each row's split where the source itself says so.

    Raises
    ------
    SourceError
        If a column is missing or a split's name is unknown.
    """
    picked: dict[str, Sequence[Any]] = {}
    for field in fields(columns):
        wanted = getattr(columns, field.name)
        for column in wanted if isinstance(wanted, tuple) else (wanted,):
            if column is None:
                continue
            if column not in table:
                raise NoSuchSourceError(f"{name}: there is no column `{column}` (for {field.name}); {_suggest(column, table)}")
            picked[field.name] = table[column]
    faults = dict(faults)
    labels: list[str | None] | None = None
    if isinstance(columns.label, tuple):
        labels = _join_labels(columns.label, table, places)
    elif "label" in picked:
        labels = [_as_name(value) for value in picked["label"]]
    for row, label in enumerate(labels or ()):
        if label is not None and not _is_unicode(label):
            faults.setdefault(row, "the label is not valid UTF-8")
            labels[row] = None  # type: ignore[index]
    if "split" in picked:
        splits = [_split_of(value, places[row], row in faults) for row, value in enumerate(picked["split"])]
    groups = [_as_name(value) for value in picked["group"]] if "group" in picked else None
    ids = [_as_name(value) or places[row] for row, value in enumerate(picked["id"])] if "id" in picked else places
    return Samples(name, picked["text"], ids, labels, splits, groups, faults)


def _suggest(column: str, table: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(column, table, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"{hint}columns are {', '.join(table)}"


def _as_name(value: Any) -> str | None:
    """Return a label's or group's name; None for what stands for nothing: None, NaN, the empty string."""
    if is_nothing(value) or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # pandas makes whole numbers floats where one is missing
    return str(value)


def _join_labels(columns: tuple[str, ...], table: Mapping[str, Sequence[Any]], places: Sequence[str]) -> list[str | None]:
    """Join the names of the columns that say yes; a row where one says nothing has no label."""
    joined: list[str | None] = []
    for row, values in enumerate(zip(*(table[column] for column in columns), strict=True)):
        answers = [_yes_or_no(value, column, places[row]) for column, value in zip(columns, values, strict=True)]
        names = [column for column, yes in zip(columns, answers, strict=True) if yes]
        joined.append(None if None in answers else LABEL_SEPARATOR.join(names))
    return joined


def _yes_or_no(value: Any, column: str, place: str) -> bool | None:
    name = _as_name(value)
    if name is None:
        return None
    known = _ANSWERS.get(name.strip().lower())
    if known is None:
        raise SourceError(f"{place}: `{column}` is one of several label columns, which hold 0 or 1, not `{name}`")
    return known


def _split_of(value: Any, place: str, faulty: bool) -> str | None:
    name = _as_name(value)
    if name is None or faulty:
        return None
    known = _SPLITS.get(name.strip().lower())
    if known is None:
        raise SourceError(f"{place}: `{name}` is not a split; splits are {', '.join(_SPLITS)}")
    return known


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
