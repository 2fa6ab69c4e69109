"""Labels as they come, to classes and codes."""

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets


def plain_labels(y: Any) -> np.ndarray:
    """Return labels `[n]` as a numpy array, also those of pandas' Arrow-backed columns, which scikit-learn cannot index."""
    if type(y).__module__.partition(".")[0] == "pandas":
        y = y.to_numpy(dtype=object) if getattr(y.dtype, "kind", "O") not in "iufb" else y.to_numpy()
        if y.dtype == object and all(isinstance(value, str) for value in y):
            y = y.astype(str)
    return np.asarray(y)


def encode_labels(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes `[c]` and each label's place among them `[n]`.

    Raises
    ------
    ValueError
        If the labels are no classes, or all the same.
    """
    check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"the labels hold 1 class ({classes[0]!r}); a classifier needs at least 2 classes")
    return classes, codes
