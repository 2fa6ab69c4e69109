"""Samples in memory: what a source gives, and which of them can be extracted."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cache import Origin, Table, as_key_array, text_key
from extract.errors import SourceError
from extract.images import ImageFile, ImageText, image_keys, is_image

LABEL_SEPARATOR = "\x1f"
"""Stands between the names of a sample's labels where they are kept as one text, as sources and tables do."""

MOST_NAMED = 10
"""Labels that are named where samples are shown."""


@dataclass(frozen=True)
class Skipped:
    """A sample that was not extracted: its row in the source, its id there, and why."""

    row: int
    id: str
    reason: str


@dataclass(frozen=True)
class Samples:
    """A data set's samples, with what its source says of each.

    Attributes
    ----------
    name
        The data set's name, for people.
    inputs
        The samples themselves: texts, texts with a pair `(text, pair)`, images of any kind (see `images`), `ImageText`; one
        that cannot be used may be anything.
    ids
        One per sample; says where it is, such as `reviews.csv:17`.
    labels, splits, groups
        One per sample, None where it has none; or None where the source has no such column. A label may be a list of
        several names. Splits are `train`, `validation` or `test`.
    faults
        Row -> why the source could not read it.
    """

    name: str
    inputs: Sequence[Any]
    ids: Sequence[str]
    labels: Sequence[Any] | None = None
    splits: Sequence[str | None] | None = None
    groups: Sequence[str | None] | None = None
    faults: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        """Return a line: `<reviews.csv: 86 samples, 2 labels: bad 43, good 43>`."""
        count = "1 sample" if len(self) == 1 else f"{len(self):,} samples"
        return f"<{self.name}: {count}{'' if self.labels is None else _count_labels(self.labels)}>"

    @classmethod
    def of(cls, inputs: Sequence[Any], name: str = "samples") -> "Samples":
        """Wrap a plain list: ids are the positions.

        Raises
        ------
        SourceError
            If it is one text, or a data frame, and no list of samples.
        """
        if isinstance(inputs, str | bytes):
            raise SourceError("one text is no list of samples; put it in a list: [text]")
        if hasattr(inputs, "columns"):
            raise SourceError("a data frame is no list of samples; give a column of it, or load_samples(frame, Columns(...))")
        inputs = list(inputs)
        return cls(name, inputs, [str(i) for i in range(len(inputs))])

    def part(self, start: int, stop: int) -> "Samples":
        """Return the samples from one position up to another."""

        def of(column: Sequence[Any] | None) -> Any:
            return None if column is None else column[start:stop]

        faults = {row - start: why for row, why in self.faults.items() if start <= row < stop}
        columns = of(self.labels), of(self.splits), of(self.groups)
        return Samples(self.name, self.inputs[start:stop], self.ids[start:stop], *columns, faults=faults)

    def take(self, rows: Sequence[int]) -> "Samples":
        """Return some samples by their positions."""

        def of(column: Sequence[Any] | None) -> Any:
            return None if column is None else [column[row] for row in rows]

        faults = {new: self.faults[old] for new, old in enumerate(rows) if old in self.faults}
        columns = of(self.labels), of(self.splits), of(self.groups)
        return Samples(self.name, of(self.inputs), of(self.ids), *columns, faults=faults)

    @property
    def kind(self) -> str | None:
        """What the samples are: `text`, `image` or `image and text`, by the first that is any of these; None if none is."""
        return next((kind for kind in map(kind_of, self.inputs) if kind is not None), None)

    def as_files(self) -> "Samples":
        """Take texts for the paths of image files."""
        return replace(self, inputs=[ImageFile(sample) if isinstance(sample, str) else sample for sample in self.inputs])

    def admit(self, kind: str = "text") -> "Admitted":
        """Give every usable sample of a kind its key and every other one its reason."""
        found: list[bytes | str] = [reason or b"" for reason in self._reasons(kind)]
        usable = [row for row, reason in enumerate(found) if not isinstance(reason, str)]
        make = _text_keys if kind == "text" else image_keys
        for row, key in zip(usable, make([self.inputs[row] for row in usable]), strict=True):
            found[row] = key
        rows = [row for row in usable if isinstance(found[row], bytes)]
        skipped = [Skipped(row, self.ids[row], reason) for row, reason in enumerate(found) if isinstance(reason, str)]
        return Admitted(as_key_array(found[row] for row in rows), np.asarray(rows, dtype=np.int64), skipped)  # type: ignore[misc]

    def promising(self, kind: str = "text") -> np.ndarray:
        """Return the rows `[m]` of the samples of a kind that look usable, without opening any file."""
        rows = [row for row, reason in enumerate(self._reasons(kind)) if reason is None]
        return np.array([row for row in rows if kind != "text" or _is_unicode(self.inputs[row])], np.int64)

    def _reasons(self, kind: str) -> list[str | None]:
        return [self.faults.get(row) or self._fault(row, kind) for row in range(len(self))]

    def _fault(self, row: int, kind: str) -> str | None:
        sample = self.inputs[row]
        if kind == "text":
            return fault_in(sample)
        if isinstance(sample, ImageText) and kind == "image and text":
            return fault_in(sample.text)
        own = kind_of(sample)
        if own == kind or own is None:
            return None if own == kind else "no image" if is_nothing(sample) else f"not an {kind} but {type(sample).__name__}"
        return f"not an {kind} but a sample of kind {own}"

    def table(self, admitted: "Admitted") -> Table:
        """Return the usable samples' table for the store."""

        def usable(column: Sequence[Any] | None) -> list[Any] | None:
            return None if column is None else [column[row] for row in admitted.rows.tolist()]

        ids = usable(self.ids) or []
        labels = None if self.labels is None else list(map(_as_text, self.labels))
        columns = usable(labels), usable(self.splits), usable(self.groups)
        return Table(self.name, admitted.keys, ids, *columns, origin=Origin.of(Path(self.name)))


@dataclass(frozen=True)
class Admitted:
    """The usable samples of a source: `keys [m, 16]` uint8, their `rows [m]` in the source, and the rest."""

    keys: np.ndarray
    rows: np.ndarray
    skipped: list[Skipped]


def kind_of(sample: Any) -> str | None:
    """Tell whether a sample is a `text`, an `image` or an `image and text`; None if it is nothing of these."""
    if isinstance(sample, str) or _is_pair(sample):
        return "text"
    if isinstance(sample, ImageText):
        return "image and text"
    return "image" if is_image(sample) else None


def _count_labels(labels: Sequence[Any]) -> str:
    """Count every label, those that samples share included; of many, name the most frequent."""
    texts = [str(_as_text(label)) for label in labels if label is not None]
    counts = Counter(name for text in texts for name in text.split(LABEL_SEPARATOR) if name)
    told = [f"{name} {count:,}" for name, count in sorted(counts.most_common(MOST_NAMED))]
    more = [] if len(counts) <= MOST_NAMED else ["..."]
    return (", 1 label" if len(counts) == 1 else f", {len(counts):,} labels") + (": " if told else "") + ", ".join(told + more)


def _as_text(label: Any) -> Any:
    return LABEL_SEPARATOR.join(map(str, label)) if isinstance(label, list | tuple) else label


def _is_pair(sample: Any) -> bool:
    """Tell whether a sample is a text with its pair (either of which may be missing)."""
    return isinstance(sample, tuple | list) and len(sample) == 2 and not any(map(is_image, sample))


def fault_in(sample: Any) -> str | None:
    """Say why a sample cannot be a text, or None if it can."""
    if isinstance(sample, str):
        return None if sample and not sample.isspace() else "empty text"
    if _is_pair(sample):
        reason = fault_in(sample[0]) or fault_in(sample[1])
        return reason and f"{reason} in the pair"
    if is_nothing(sample):
        return "no text"
    return f"not a text but {type(sample).__name__}"


def _text_keys(samples: Sequence[Any]) -> list[bytes | str]:
    keys: list[bytes | str] = []
    for sample in samples:
        try:
            keys.append(text_key(sample) if isinstance(sample, str) else text_key(*sample))
        except UnicodeEncodeError as error:
            keys.append(not_unicode(str(error.object), error))
    return keys


def _is_unicode(sample: Any) -> bool:
    try:
        for text in (sample,) if isinstance(sample, str) else sample:
            text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_nothing(value: Any) -> bool:
    """Tell whether a value stands for a missing one: None, or what pandas and numpy use for it."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in ("NAType", "NaTType")


def not_unicode(text: str, error: UnicodeEncodeError) -> str:
    """Explain a text with lone surrogates, which is how a source hands on bytes that were not UTF-8."""
    code = ord(text[error.start])
    what = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"lone surrogate U+{code:04X}"
    return f"not valid UTF-8 ({what} at character {error.start}); if the file has another encoding, name it as `encoding`"
