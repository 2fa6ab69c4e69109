"""Columns: the features of a combination of outputs, side by side, for some of a data set's samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache import Ragged
from extract import Features
from pipelines.backbone_config import ViewChoice
from pipelines.combinations import Combination
from pipelines.errors import TrainingError


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

    `X` is what is validated, tested and predicted on: the plain samples, or means of their views.
    """

    X: Any
    widths: tuple[int, ...]
    views: ViewColumns | None = None


def read_columns(features: Features, outputs: Combination, rows: np.ndarray, views: ViewChoice | None = None) -> Columns:
    """Read a combination's features of samples by their positions in the source, `rows [n]`.

    Parameters
    ----------
    features, outputs, rows
        Whose, which, and of which samples.
    views
        What is to be done with augmented views; None where there are none.

    Raises
    ------
    TrainingError
        If tokens are to stand beside something else, or to be averaged.
    """
    if views is None or features.views is None:
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
