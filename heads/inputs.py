"""What comes as X: rows `[n, d]`, views `[n, v, d]`, tokens of any number a sample, or an array that stays on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array, validate_data

FLOATS = (np.float32, np.float64)


@dataclass(frozen=True)
class Tokens:
    """Tokens or patches, any number a sample.

    Attributes
    ----------
    values
        `[sum, d]`, sample after sample; an array, or an array-like that stays on disk.
    offsets
        `[n + 1]`: sample `i` has the rows from `offsets[i]` to `offsets[i + 1]`.
    """

    values: Any
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: Any) -> Any:
        """Return some samples, by slice, positions `[m]` or mask `[n]`; for one number that sample's tokens `[t, d]`."""
        if isinstance(rows, tuple):  # scikit-learn asks arrays for `[rows, ...]`
            (rows, *_) = rows
        if isinstance(rows, int | np.integer):
            place = range(len(self))[rows]
            return np.asarray(self.values[self.offsets[place] : self.offsets[place + 1]])
        chosen = np.arange(len(self))[rows]
        starts, lengths = self.offsets[chosen], self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        if isinstance(rows, slice) and rows.step in (None, 1):
            first = starts[0] if len(chosen) else 0
            return Tokens(np.asarray(self.values[first : first + offsets[-1]]), offsets)
        places = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Tokens(self.values[places], offsets)

    @property
    def shape(self) -> tuple[int, None, int]:
        """`(n, None, d)`."""
        return (len(self), None, self.values.shape[1])

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each sample `[n]`."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class StoredTokens:
    """Tokens that stay on disk, padded `[n, t, d]` or of any number a sample; what is read of them comes as `Tokens`."""

    source: Any

    def __len__(self) -> int:
        return int(self.source.shape[0])

    def __getitem__(self, rows: Any) -> Tokens:
        found = self.source[rows]
        ragged = as_tokens(found)
        return unpad(np.asarray(found)) if ragged is None else ragged

    def select(self, rows: Any) -> "StoredTokens":
        """Return some samples, on disk as well."""
        return StoredTokens(select_rows(self.source, rows))

    @property
    def shape(self) -> tuple[int, None, int]:
        """`(n, None, d)`."""
        return (len(self), None, int(self.source.shape[-1]))

    @property
    def dtype(self) -> np.dtype:
        """As on disk."""
        return np.dtype(self.source.dtype)


def is_on_disk(X: Any) -> bool:
    """Whether X is to be read part by part: a memory map, or what has a shape, a type and slices and is no array."""
    if isinstance(X, np.memmap | StoredTokens):
        return True
    if isinstance(X, Tokens):
        return is_on_disk(X.values)
    if isinstance(X, np.ndarray) or sparse.issparse(X) or type(X).__module__.partition(".")[0] in ("torch", "pandas"):
        return False
    return all(hasattr(X, name) for name in ("shape", "dtype", "__getitem__")) and len(X.shape) > 1


def select_rows(X: Any, rows: Any) -> Any:
    """Return some samples of X, by numbers `[m]` or a mask `[n]`; of what is on disk and has `select`, on disk as well."""
    return X.select(rows) if hasattr(X, "select") else X[rows]


def read_features(estimator: Any, X: Any, *, tokens: bool, reset: bool) -> Any:
    """Check what was given as X and return an array `[n, d]` or `[n, v, d]`, `Tokens`, or the array-like that stays on disk.

    Parameters
    ----------
    estimator
        Whose `n_features_in_` is set, or compared.
    X
        As it came.
    tokens
        Whether the head takes tokens: ragged (anything with `values` and `offsets`, or a list of `[t, d]` arrays), or padded
        `[n, t, d]`, where rows of zeros at a sample's end are padding. Rows `[n, d]` then are samples of one token.
    reset
        Whether this is `fit`.

    Raises
    ------
    ValueError
        In one line, if X cannot be used.
    """
    ragged = as_tokens(X)
    if ragged is None and not is_on_disk(X):
        ndim = np.ndim(X) if isinstance(X, np.ndarray) or hasattr(X, "ndim") else 2
        if ndim != 3:
            rows = validate_data(estimator, X, dtype=FLOATS, reset=reset)
            return Tokens(rows, np.arange(len(rows) + 1)) if tokens else rows
        X = check_array(X, dtype=FLOATS, allow_nd=True)
    found = ragged if ragged is not None else X
    if isinstance(found, Tokens):
        if (found.lengths < 1).any():
            raise ValueError(f"sample {int((found.lengths < 1).argmax())} has no tokens")
        shape: Sequence[int | None] = (len(found), *found.values.shape[1:])
    else:
        shape = found.shape
    if not tokens and (isinstance(found, Tokens) or None in shape):
        raise ValueError("X holds tokens (any number a sample), and this head takes one vector a sample; use an attention head")
    if len(shape) not in (2, 3):
        raise ValueError(f"X is {list(shape)}; features are [samples, width], views and padded tokens [samples, number, width]")
    if reset:
        estimator.n_features_in_ = int(shape[-1] or 0)
    elif shape[-1] != estimator.n_features_in_:
        name, width = type(estimator).__name__, estimator.n_features_in_
        raise ValueError(f"X has {shape[-1]} features, but {name} is expecting {width} features as input")
    if not tokens or isinstance(found, Tokens):
        return found
    if len(shape) == 2:
        return Tokens(found, np.arange(len(found) + 1))
    return StoredTokens(found) if is_on_disk(found) else unpad(found)


def float_type(X: Any) -> np.dtype:
    """Return the type to compute in: float64 for float64, else float32."""
    values = X.values if isinstance(X, Tokens) else X
    return np.dtype(np.float64 if np.dtype(values.dtype) == np.float64 else np.float32)


def as_tokens(X: Any) -> Tokens | None:
    """Return ragged tokens, whatever holds them, as `Tokens`; None if X is anything else."""
    if isinstance(X, Tokens):
        return X
    if hasattr(X, "values") and hasattr(X, "offsets"):
        return Tokens(X.values, np.asarray(X.offsets, np.int64))
    arrays = isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1)
    if not (arrays and len(X) and all(isinstance(part, np.ndarray) and part.ndim == 2 for part in X)):
        return None
    widths = {part.shape[1] for part in X}
    if len(widths) > 1:
        raise ValueError(f"the samples' tokens have different widths: {', '.join(map(str, sorted(widths)))}")
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in X])])
    values = np.concatenate(list(X))
    return Tokens(values.astype(float_type(Tokens(values, offsets)), copy=False), offsets)


def unpad(X: np.ndarray) -> Tokens:
    """Cut a padded array `[n, t, d]`: rows of zeros at a sample's end are padding; one token stays where all are."""
    real = (X != 0).any(axis=2)
    lengths = np.where(real.any(axis=1), real.shape[1] - real[:, ::-1].argmax(axis=1), 1)
    kept = np.arange(X.shape[1]) < lengths[:, None]
    return Tokens(X[kept], np.concatenate([[0], np.cumsum(lengths)]))
