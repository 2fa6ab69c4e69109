"""What heads are trained on: labels as they come, to classes and codes or to an indicator; values, to numbers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

_MISSING = ("NoneType", "NAType", "NaTType")
"""Types of missing values, pandas' own among them."""

_MAY_BE_MISSING = (*_MISSING, "float", "float64", "float32", "float16")
"""And of NaN."""


@dataclass(frozen=True)
class Targets:
    """Encoded labels.

    Attributes
    ----------
    classes
        `[c]`, sorted; for an indicator the columns' numbers, or their names where a data frame gave them.
    values
        Codes `[n]` (int64), or for several labels a sample an indicator `[n, c]` (bool).
    """

    classes: np.ndarray
    values: np.ndarray

    @property
    def multilabel(self) -> bool:
        """Whether a sample may have any number of the classes."""
        return self.values.ndim == 2

    @property
    def codes(self) -> np.ndarray | None:
        """Codes `[n]` to stratify by, or None where a sample has several labels."""
        return None if self.multilabel else self.values


def plain_labels(y: Any) -> np.ndarray:
    """Return labels as a numpy array: `[n]`, or `[n, c]` for an indicator.

    Takes lists, numpy, pandas (also categoricals and Arrow-backed columns, which scikit-learn cannot index), polars, Arrow and
    torch. Sets of labels, or lists of texts, become an array `[n]` of tuples.

    Raises
    ------
    ValueError
        If a sample has none.
    """
    library = type(y).__module__.partition(".")[0]
    if sparse.issparse(y):
        return np.asarray(y.toarray())
    if library == "pandas" and getattr(y, "ndim", 1) == 1:
        y = y.to_numpy(dtype=object) if getattr(y.dtype, "kind", "O") not in "iufb" else y.to_numpy()
    elif library in ("pandas", "polars"):
        y = y.to_numpy()
    elif library == "pyarrow":
        y = np.array(y.to_pylist(), dtype=object)
    if _are_label_sets(y):
        sets = np.empty(len(y), object)
        sets[:] = [tuple(sorted(labels)) for labels in y]
        return sets
    y = np.asarray(y)
    _refuse_missing(y)
    return _plain(y) if y.dtype == object and y.ndim == 1 else y


def with_names(y: Any) -> Any:
    """Return `plain_labels`; of a frame of several columns as a frame with their names, which are the classes'."""
    labels, columns = plain_labels(y), getattr(y, "columns", None)
    if columns is None or labels.ndim < 2 or labels.shape[1] < 2:
        return labels
    import pandas as pd

    return pd.DataFrame(labels, columns=list(columns))


def _refuse_missing(y: np.ndarray) -> None:
    if y.dtype.kind == "f":
        missing = np.isnan(y)
    elif y.dtype == object and not {type(label).__name__ for label in y.flat}.isdisjoint(_MAY_BE_MISSING):
        missing = np.array([_is_missing(label) for label in y.flat], bool).reshape(y.shape)
    else:
        return
    if missing.any():
        row = int(np.flatnonzero(missing.reshape(len(y), -1).any(axis=1))[0])
        raise ValueError(f"sample {row} has no label (Input y contains NaN or None); leave such samples out")


def _is_missing(label: Any) -> bool:
    """Tell whether a label is None, or what numpy and pandas have instead."""
    return type(label).__name__ in _MISSING or (isinstance(label, float | np.floating) and bool(np.isnan(label)))


def as_column(y: Any) -> np.ndarray:
    """Return labels as scikit-learn's checks take them: `plain_labels`, with sets of labels as their sizes."""
    labels = plain_labels(y)
    return np.array([len(one) for one in labels]) if hold_sets(labels) else labels


def encode_targets(y: Any) -> Targets:
    """Return the classes, and each sample's class or classes.

    Raises
    ------
    ValueError
        If the labels are no classes, one is missing, or all are the same.
    """
    labels = plain_labels(y)
    if hold_sets(labels):
        binarizer = MultiLabelBinarizer()
        return Targets(classes=_plain(binarizer.fit(labels).classes_), values=binarizer.transform(labels).astype(bool))
    if labels.ndim == 2 and labels.shape[1] > 1:
        if type_of_target(labels) != "multilabel-indicator":
            raise ValueError(
                f"labels {list(labels.shape)} are no indicator: only 0 and 1 may stand in it, 1 where a sample has a class"
            )
        columns = getattr(y, "columns", None)
        names = np.arange(labels.shape[1]) if columns is None else _plain(np.asarray(columns, dtype=object))
        return Targets(names, labels.astype(bool))
    return Targets(*encode_labels(column_or_1d(labels, warn=True)))


def encode_labels(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes `[c]` of `plain_labels`, and each label's place among them `[n]`.

    Raises
    ------
    ValueError
        If the labels are no classes, or all are the same.
    """
    if labels.ndim != 1:
        raise ValueError(f"labels are {list(labels.shape)}, where one a sample [n] is expected")
    kinds = {type(label) for label in labels.tolist()} if labels.dtype == object else set()
    if str in kinds and len(kinds) > 1:
        told = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"labels are of several types ({told}), which have no order; give all as texts")
    check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"the labels hold 1 class ({classes.tolist()[0]!r}); a classifier needs at least 2 classes")
    return classes, codes


def encode_known(y: Any, classes: np.ndarray, multilabel: bool) -> np.ndarray:
    """Return the codes `[n]`, or the indicator `[n, c]`, of labels among classes that are known.

    Raises
    ------
    ValueError
        If a label is none of the classes.
    """
    labels = plain_labels(y)
    if labels.ndim == 2 and labels.shape[1] == len(classes):
        return labels.astype(bool)
    if multilabel:
        sets = [set(labels_of_one) for labels_of_one in labels]
        strange = set().union(*sets) - set(classes.tolist())
        if not strange:
            return MultiLabelBinarizer(classes=classes.tolist()).fit_transform(sets).astype(bool)
    else:
        codes = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
        strange = set(labels[classes[codes] != labels].tolist())
        if not strange:
            return codes
    raise ValueError(f"{sorted(map(str, strange))[0]!r} is a label that the training data do not have")


def class_weights(class_weight: Any, targets: Targets) -> np.ndarray:
    """Return a weight for every sample `[n]`, or for every class's positives `[c]` where samples have several labels.

    Parameters
    ----------
    class_weight
        None, `balanced` (each class, or a class's positives and negatives, weigh the same in all), or class -> weight.
    targets
        What `encode_targets` gave.
    """
    if class_weight is None:
        return np.ones(len(targets.classes) if targets.multilabel else len(targets.values))
    if not targets.multilabel:
        return compute_sample_weight(class_weight, targets.classes[targets.values])
    if isinstance(class_weight, Mapping):
        return np.array([float(class_weight.get(name, 1.0)) for name in targets.classes.tolist()])
    if class_weight != "balanced":
        raise ValueError(f"`class_weight` is {class_weight!r}; it may be None, `balanced`, or class -> weight")
    positives = targets.values.sum(axis=0)
    return np.where(positives > 0, (len(targets.values) - positives) / np.maximum(positives, 1), 1.0)


def check_codes(true: Any, probabilities: Any) -> np.ndarray:
    """Return class codes `[n]` that go with probabilities `[n, c]`.

    Raises
    ------
    ValueError
        If they are no codes, such as the labels themselves, or of another number.
    """
    codes, classes = np.asarray(true), probabilities.shape[1]
    if codes.ndim != 1:
        raise ValueError(f"`true` is {list(codes.shape)}, where one class code a sample [n] is expected")
    if len(codes) != len(probabilities):
        raise ValueError(f"there are {len(codes):,} true classes and probabilities of {len(probabilities):,} samples")
    if codes.dtype.kind not in "iub" or (len(codes) and not 0 <= codes.min() <= codes.max() < classes):
        raise ValueError(
            f"`true` holds no class codes from 0 to {classes - 1}; `numpy.searchsorted(head.classes_, labels)` gives them"
        )
    return codes.astype(np.int64)


def hold_sets(labels: np.ndarray) -> bool:
    """Tell whether `plain_labels` are sets of labels."""
    return labels.dtype == object and labels.ndim == 1 and len(labels) > 0 and isinstance(labels[0], tuple)


def _are_label_sets(y: Any) -> bool:
    if isinstance(y, np.ndarray) and y.dtype != object:
        return False
    if not isinstance(y, Collection) or len(y) == 0 or isinstance(y, str | bytes):
        return False
    if all(isinstance(labels, set | frozenset) for labels in y):
        return True
    if not all(isinstance(labels, list | tuple) for labels in y):
        return False
    return len({len(labels) for labels in y}) > 1 or all(isinstance(label, str) for labels in y for label in labels)


def _plain(labels: np.ndarray) -> np.ndarray:
    """Give an object array of one kind of values that kind's own type."""
    kinds = {type(label) for label in labels.tolist()}
    return np.array(labels.tolist()) if len(kinds) == 1 and kinds <= {str, int, bool} else labels
