"""Columns: the features of a combination of outputs, side by side, for some of a data set's samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache import Ragged
from extract import Features
from pipelines.combinations import Combination
from pipelines.errors import TrainingError


@dataclass(frozen=True)
class Columns:
    """Features `X [n, d]` (tokens are ragged), and how many columns each output has."""

    X: Any
    widths: tuple[int, ...]


def read_columns(features: Features, outputs: Combination, rows: np.ndarray) -> Columns:
    """Read a combination's features of samples by their positions in the source, `rows [n]`.

    Raises
    ------
    TrainingError
        If tokens are to stand beside something else.
    """
    keys = features.keys[np.searchsorted(features.rows, rows)]
    return put_together([features.store.read(features.recipe, keys, output) for output in outputs], outputs)


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
