"""Ragged arrays: a run of token vectors for every sample, of different lengths."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Ragged:
    """`n` samples of `t_i` vectors each, one after another in memory.

    Attributes
    ----------
    values
        `[sum of t_i, d]`.
    offsets
        `[n + 1]` int64: sample `i` is `values[offsets[i]:offsets[i + 1]]`.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        offsets = self.offsets
        if self.values.ndim != 2 or offsets.ndim != 1 or offsets.dtype != np.int64 or not len(offsets):
            raise ValueError("ragged values are [sum, d] and offsets [n + 1] of int64")
        if offsets[0] != 0 or offsets[-1] != len(self.values) or (np.diff(offsets) < 0).any():
            raise ValueError(f"offsets must rise from 0 to {len(self.values)}, the number of vectors")

    @classmethod
    def of(cls, arrays: Iterable[np.ndarray]) -> "Ragged":
        """Join arrays `[t_i, d]`, of which there is at least one."""
        arrays = list(arrays)
        offsets = np.concatenate([[0], np.cumsum([len(array) for array in arrays])]).astype(np.int64)
        return cls(np.concatenate(arrays), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.values[start:stop] for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True))

    def __getitem__(self, rows: Any) -> Any:
        """Return one sample `[t, d]` for a number, or a `Ragged` for a slice, a mask `[n]` or numbers `[m]`."""
        if isinstance(rows, int | np.integer):
            row = int(rows) + len(self) * (rows < 0)
            if not 0 <= row < len(self):
                raise IndexError(f"there is no sample {rows} among {len(self)}")
            return self.values[self.offsets[row] : self.offsets[row + 1]]
        return Ragged(self.values[ranges(self.offsets, np.arange(len(self))[rows])], self._offsets_of(rows))

    @property
    def shape(self) -> tuple[int, None, int]:
        """`(n, None, d)`."""
        return (len(self), None, self.values.shape[1])

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self.values.dtype

    def _offsets_of(self, rows: Any) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(np.diff(self.offsets)[rows])]).astype(np.int64)


def ranges(offsets: np.ndarray, rows: np.ndarray) -> np.ndarray | slice:
    """Return the positions of the vectors of some samples, one sample after another; as a slice where they follow on."""
    starts, lengths = offsets[rows], offsets[rows + 1] - offsets[rows]
    if len(rows) and (starts[1:] == (starts + lengths)[:-1]).all():
        return slice(int(starts[0]), int(starts[-1] + lengths[-1]))
    ends = np.cumsum(lengths)
    return np.arange(int(lengths.sum())) + np.repeat(starts - (ends - lengths), lengths)
