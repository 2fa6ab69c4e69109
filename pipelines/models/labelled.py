"""Samples with labels, from whatever a user has: splits, pairs, columns, files, data frames, data sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from extract import Columns, Samples, load_samples
from pipelines.errors import TrainingError, UsageError

LABEL = "label"
"""The labels' column, where a source has columns."""


@dataclass(frozen=True)
class Labelled:
    """Samples, and a label for each (None where it has none); no labels at all where the source has none.

    Attributes
    ----------
    samples, labels
        One beside the other.
    what
        What they are, for messages: `train_data`, `eval_data`, ...
    """

    samples: Samples
    labels: Sequence[Any] | None
    what: str = "data"

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def places(self) -> list[str]:
        """`[n]`, where the samples are, for messages; a bare position says in which data."""
        return [f"{self.what}, sample {name}" if name.isdecimal() else name for name in self.samples.ids]

    def take(self, rows: np.ndarray) -> "Labelled":
        """Return some of them, by their positions `[m]`."""
        chosen = rows.tolist()
        labels = None if self.labels is None else [self.labels[row] for row in chosen]
        return replace(self, samples=self.samples.take(chosen), labels=labels)


def read_labelled(data: Any, what: str = "data") -> Labelled:
    """Read samples, with labels where there are any.

    Parameters
    ----------
    data
        A split of `DatasetLoader.load_dataset`; a file or folder; a mapping of columns, a data frame or a
        `datasets.Dataset` with the column `label`; `(samples, labels)`; a list of samples, of `(sample, label)` or of mappings;
        or a torch data set of `(sample, label)`. A tuple of two in a list is a sample with its label, never a text with its
        pair.
    what
        What the data are, for messages.

    Raises
    ------
    UsageError
        If it is nothing of these, or there are more or fewer labels than samples.
    """
    found = _read(data)
    if found.labels is not None and len(found.labels) != len(found):
        raise UsageError(f"{what}: {len(found):,} samples and {len(found.labels):,} labels; give one label a sample")
    return replace(found, what=what)


def with_labels(data: Labelled) -> Labelled:
    """Return the samples that have a label.

    Raises
    ------
    TrainingError
        If there is none.
    """
    if not len(data):
        raise TrainingError(f"{data.what}: there are no samples")
    rows = np.flatnonzero([label is not None for label in data.labels or ()])
    if not len(rows):
        raise TrainingError(f"{data.what}: no sample has a label; give (sample, label) pairs, or a column `label`")
    return data if len(rows) == len(data) else data.take(rows)


def _read(data: Any) -> Labelled:
    if isinstance(data, Labelled):
        return data
    if isinstance(data, Samples):
        return Labelled(data, data.labels)
    if isinstance(data, tuple) and len(data) == 2 and _are_columns(*data):
        return _of_lists(data[0], data[1])
    if isinstance(data, torch.utils.data.Dataset) and hasattr(data, "__len__"):
        return _of_dataset(data)
    if isinstance(data, Sequence) and not isinstance(data, str):
        return _of_items(data)
    if isinstance(data, np.ndarray | torch.Tensor):
        return Labelled(Samples.of(list(data)), None)
    columns = Columns(label=LABEL) if isinstance(data, str | Path) or LABEL in _columns_of(data) else Columns()
    samples = load_samples(data, columns)
    return Labelled(samples, samples.labels)


def _are_columns(first: Any, second: Any) -> bool:
    """Tell whether two values are samples and their labels, column beside column."""
    return all(hasattr(part, "__len__") and not isinstance(part, str | bytes | Mapping) for part in (first, second))


def _of_lists(inputs: Any, labels: Any) -> Labelled:
    samples = inputs if isinstance(inputs, Samples) else Samples.of(list(inputs))
    return Labelled(samples, [_plain(label) for label in labels])


def _of_items(items: Sequence[Any]) -> Labelled:
    if not len(items):
        return Labelled(Samples.of(items), None)
    if all(isinstance(item, Mapping) for item in items):
        names = list(items[0])
        return _read({name: [item.get(name) for item in items] for name in names})
    if all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
        return _of_lists([item[0] for item in items], [item[1] for item in items])
    return Labelled(Samples.of(items), None)


def _of_dataset(data: Any) -> Labelled:
    first = data[0] if len(data) else None
    if isinstance(first, tuple | list) and len(first) == 2 and isinstance(first[0], str | torch.Tensor):
        return _of_items([data[row] for row in range(len(data))])
    samples = load_samples(data)
    return Labelled(samples, samples.labels)


def _columns_of(data: Any) -> Sequence[str]:
    if isinstance(data, Mapping) and not hasattr(data, "column_names"):
        return list(data)
    names = getattr(data, "column_names", None)  # of `datasets`, by split where there are several
    if isinstance(names, Mapping):
        return [name for part in names.values() for name in part]
    found = names if names is not None else getattr(data, "columns", None)
    if found is None:
        raise UsageError(
            f"samples cannot come from {type(data).__name__}; give texts or images with labels, a file or a data set"
        )
    return [str(name) for name in found]


def _plain(label: Any) -> Any:
    """Return a label without its array: a number or text, or several of them; None for a number that is none."""
    if getattr(label, "ndim", 0) and len(label) != 1:
        return tuple(label.tolist())
    value = label.item() if hasattr(label, "item") else label
    return None if isinstance(value, float) and np.isnan(value) else value
