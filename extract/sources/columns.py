"""Columns to samples: which column is the text, the image, the label, ..., and what their values may be."""

import difflib
import functools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from extract.errors import NoSuchSourceError, SourceError
from extract.images import ImageCell, ImageFile, ImageText, place_of
from extract.samples import LABEL_SEPARATOR, Samples, is_nothing

_ANSWERS = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True}
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
    "heldout": "test",
    "holdout": "test",
}


@dataclass(frozen=True)
class Columns:
    """The names of the columns that matter; None where the source has none.

    Attributes
    ----------
    text
        The sample, if it is a text; where neither `text` nor `image` is named, the column of that name.
    pair
        A second text that goes with it, such as the hypothesis to a premise.
    label
        Its class; or several columns of 0 and 1, each a label that the sample has or not.
    split
        `train`, `validation` or `test` (also by the other names in `SPLITS`).
    group
        What must not be on both sides of a split, such as a document or a patient.
    id
        A name for each sample; the place in the source where there is none.
    image
        The sample, if it is an image: bytes, or a path relative to the file's folder. With `text` as well, a sample is an
        image with a text.
    """

    text: str | None = None
    label: str | tuple[str, ...] | None = None
    split: str | None = None
    group: str | None = None
    id: str | None = None
    image: str | None = None
    pair: str | None = None

    @property
    def names(self) -> set[str]:
        """All columns that matter."""
        values = (getattr(self, field.name) for field in fields(self))
        return {name for value in values for name in (value if isinstance(value, tuple) else (value,)) if name is not None}

    def among(self, names: Collection[str], images: Sequence[str] = ()) -> "Columns":
        """Settle which column is the sample, given all columns' names and those known to be images."""
        if self.text is not None or self.image is not None:
            return self
        if "text" in names:
            return replace(self, text="text")
        image = images[0] if images else "image"
        return replace(self, image=image) if image in names else replace(self, text="text")


def samples_from_columns(
    name: str,
    table: Mapping[str, Sequence[Any]],
    columns: Columns,
    places: Sequence[str],
    faults: Mapping[int, str],
    splits: Sequence[str | None] | None = None,
    folder: str = "",
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
    folder
        What paths of images are relative to.

    Raises
    ------
    SourceError
        If a column is missing or a split's name is unknown.
    """
    asked = columns
    columns = columns.among(table)
    picked: dict[str, Sequence[Any]] = {}
    for field in fields(columns):
        wanted = getattr(columns, field.name)
        for column in wanted if isinstance(wanted, tuple) else (wanted,):
            if column is None:
                continue
            if column not in table:
                unnamed = getattr(asked, field.name) is None
                wanted_one = "`text` or `image`" if unnamed else f"`{column}` (for {field.name})"
                raise NoSuchSourceError(f"{name}: there is no column {wanted_one}; {_suggest(column, table)}")
            picked[field.name] = table[column]
    faults = dict(faults)
    labels: list[str | None] | None = None
    if isinstance(columns.label, tuple):
        labels = _join_labels(columns.label, table, places)
    elif "label" in picked:
        labels = [_as_label(value) for value in picked["label"]]
    for row, label in enumerate(labels or ()):
        if label is not None and not _is_unicode(label):
            faults.setdefault(row, "the label is not valid UTF-8; if the file has another encoding, name it as `encoding`")
            labels[row] = None  # type: ignore[index]
    if "split" in picked:
        splits = [_split_of(value, places[row], row in faults) for row, value in enumerate(picked["split"])]
    groups = [_as_name(value) for value in picked["group"]] if "group" in picked else None
    ids = [_as_name(value) or places[row] for row, value in enumerate(picked["id"])] if "id" in picked else places
    return Samples(name, _inputs(picked, folder), ids, labels, splits, groups, faults)


def _inputs(picked: Mapping[str, Sequence[Any]], folder: str) -> Sequence[Any]:
    if "image" not in picked:
        return picked["text"] if "pair" not in picked else list(zip(picked["text"], picked["pair"], strict=True))
    column, folder = picked["image"], "" if folder == "." else folder
    if isinstance(column, list | tuple):
        images = [_as_image(value, folder) for value in column]
    else:  # a column that is read when its turn comes
        images = [ImageCell(column, row, folder) for row in range(len(column))]
    if "text" not in picked:
        return images
    return [ImageText(image, text) for image, text in zip(images, picked["text"], strict=True)]


def _as_image(value: Any, folder: str) -> Any:
    if isinstance(value, str):
        return ImageFile(place_of(value, folder)) if value else None
    return ImageCell([value], 0, folder) if isinstance(value, dict) else value


def _suggest(column: str, table: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(column, table, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"{hint}columns are {', '.join(f'`{name}`' for name in table)}"


def _as_name(value: Any) -> str | None:
    """Return a label's or group's name; None for what stands for nothing: None, NaN, an empty or blank text."""
    if is_nothing(value) or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # pandas makes whole numbers floats where one is missing
    return str(value)


def _as_label(value: Any) -> str | None:
    """Return a label's name; of a list, which is several labels of one sample, the names joined."""
    if not isinstance(value, list | tuple | np.ndarray):
        return _as_name(value)
    return LABEL_SEPARATOR.join(name for name in map(_as_name, value) if name is not None)


def split_labels(label: str, separator: str | None = None) -> list[str]:
    """Return a sample's labels: of a list or of several columns, or of a text with a separator between them."""
    parts = label.split(LABEL_SEPARATOR)
    if separator is not None:
        parts = [name for part in parts for name in part.split(separator)]
    return [name for part in parts if (name := part.strip())]


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
    known = split_named(name)
    if known is None:
        raise SourceError(f"{place}: `{name}` is not a split; splits are {', '.join(SPLITS)}")
    return known


@functools.cache
def split_named(name: str) -> str | None:
    """Return the split that is meant by a name, or None; only its letters matter, `Held-Out` is `heldout`."""
    return SPLITS.get(re.sub(r"[\W_]", "", name).lower())


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
