"""Columns: the features of a combination of outputs, side by side, for some of a data set's samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache import Ragged, StoredRows
from extract import Features
from pipelines.backbone_config import ViewChoice
from pipelines.combinations import Combination
from pipelines.errors import TrainingError

MEASURED = 256
"""Samples by which the number of tokens a sample is guessed."""


@dataclass(frozen=True)
class ViewColumns:
    """Features of all views of the samples that have them.

    Attributes
    ----------
    values
        `[m * v, d]` (tokens are ragged): the `v` views of a sample, then those of the next; view 0 is the sample itself.
    count
        `v`.
    place
        `[n]`, a sample's place among those `m`; -1 where it has no views.
    use
        `sample` or `average`, see `pipelines.lessons`.
    """

    values: Any
    count: int
    place: np.ndarray
    use: str


@dataclass(frozen=True)
class Columns:
    """Features `X [n, d]` (tokens are ragged), how many columns each output has, and the views that are trained on, if any.

    `X`, which may stay on disk, is what is validated, tested and predicted on: the plain samples, or means of their views.
    """

    X: Any
    widths: tuple[int, ...]
    views: ViewColumns | None = None


@dataclass(frozen=True)
class SideBySide:
    """Arrays on disk `[n, d_i]` as one `[n, sum of d_i]`."""

    parts: tuple[StoredRows, ...]

    def __len__(self) -> int:
        return len(self.parts[0])

    @property
    def shape(self) -> tuple[int, int]:
        """`(n, d)`."""
        return (len(self), sum(part.shape[-1] or 0 for part in self.parts))

    @property
    def dtype(self) -> np.dtype:
        """Type of the features."""
        return np.result_type(*(part.dtype for part in self.parts))

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Read a slice, a mask `[n]` or numbers `[m]` of samples."""
        return np.concatenate([np.asarray(part[rows]) for part in self.parts], axis=-1)

    def select(self, rows: Any) -> "SideBySide":
        """Return some of the samples, on disk as well."""
        return SideBySide(tuple(part.select(rows) for part in self.parts))


def read_columns(
    features: Features, outputs: Combination, rows: np.ndarray, views: ViewChoice | None = None, memory: int | None = None
) -> Columns:
    """Read a combination's features of samples by their positions in the source, `rows [n]`.

    Parameters
    ----------
    features, outputs, rows
        Whose, which, and of which samples.
    views
        What is to be done with augmented views; None where there are none. They are always read into memory.
    memory
        Bytes of features above which they stay on disk; None for any number in memory.

    Raises
    ------
    TrainingError
        If tokens are to stand beside something else, or to be averaged.
    """
    if views is None or features.views is None:
        if memory is not None and count_bytes(features, outputs, len(rows)) > memory:
            return _leave_on_disk(features, outputs, rows)
        return read_answered(features, outputs, rows, average=False)
    at = np.searchsorted(features.rows, rows)
    has = np.ones(len(at), bool) if features.viewed is None else features.viewed[at]
    values, widths, count = _read_views(features, outputs, features.keys[at][has])
    if "average" in (views.use, views.test) and not isinstance(values, np.ndarray):
        raise TrainingError(f"{'+'.join(outputs)}: tokens of views have no mean; say `views: {{use: sample, test: plain}}`")
    X = mean_of_views(values, count) if views.test == "average" else read_answered(features, outputs, rows, average=False).X
    place = np.where(has, np.cumsum(has) - 1, -1)
    return Columns(X, widths, ViewColumns(values, count, place, views.use))


def read_answered(features: Features, outputs: Combination, rows: np.ndarray, average: bool) -> Columns:
    """Read what samples are answered for by: their plain features, or the means of their views."""
    keys = features.keys[np.searchsorted(features.rows, rows)]
    if not average:
        return put_together([features.store.read(features.recipe, keys, output) for output in outputs], outputs)
    values, widths, count = _read_views(features, outputs, keys)
    return Columns(mean_of_views(values, count), widths)


def count_bytes(features: Features, outputs: Combination, samples: int) -> int:
    """Return about how many bytes the features of so many samples have; of tokens by the mean of some samples."""
    keys = features.keys[:: max(1, len(features.keys) // MEASURED)][:MEASURED]
    each = 0.0
    for output in outputs if len(keys) else ():
        stored = features.store.rows(features.recipe, keys, output)
        values = float(stored.shape[-1] or 0)
        if stored.ndim == 3:
            found = stored[:]
            values *= len(found.values) / len(keys) if isinstance(found, Ragged) else 1
        each += values * stored.dtype.itemsize
    return int(each * samples)


def _leave_on_disk(features: Features, outputs: Combination, rows: np.ndarray) -> Columns:
    keys = features.keys[np.searchsorted(features.rows, rows)]
    parts = tuple(features.store.rows(features.recipe, keys, output) for output in outputs)
    if len(parts) == 1:
        return Columns(parts[0], (parts[0].shape[-1] or 0,))
    if any(part.ndim == 3 for part in parts):
        raise TrainingError(f"{'+'.join(outputs)}: tokens cannot stand beside other outputs; a head takes them alone")
    return Columns(SideBySide(parts), tuple(part.shape[-1] or 0 for part in parts))


def mean_of_views(values: np.ndarray, count: int) -> np.ndarray:
    """Return the means `[m, d]` over every `count` rows of `[m * count, d]`, in float32."""
    mean: np.ndarray = values.reshape(-1, count, values.shape[1]).mean(axis=1, dtype=np.float32)
    return mean


def put_together(blocks: Sequence[np.ndarray | Ragged], outputs: Combination) -> Columns:
    """Put the features of outputs side by side.

    Raises
    ------
    TrainingError
        If tokens are to stand beside something else.
    """
    widths = tuple(block.shape[-1] for block in blocks)
    if len(blocks) == 1:
        return Columns(blocks[0], widths)
    arrays = [block for block in blocks if isinstance(block, np.ndarray)]
    if len(arrays) < len(blocks):
        raise TrainingError(f"{'+'.join(outputs)}: tokens cannot stand beside other outputs; a head takes them alone")
    return Columns(np.concatenate(arrays, axis=1), widths)


def _read_views(features: Features, outputs: Combination, keys: np.ndarray) -> tuple[Any, tuple[int, ...], int]:
    assert features.views is not None
    every = features.views.keys(keys).reshape(-1, keys.shape[1])
    found = put_together([features.store.read(features.recipe, every, output) for output in outputs], outputs)
    return found.X, found.widths, 1 + features.views.count
