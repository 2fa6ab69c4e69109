"""What trials, epochs and phases may be chosen by."""

from typing import Literal

METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "neg_log_loss"),
    "multilabel": ("f1_macro", "f1_micro", "average_precision", "accuracy"),
    "regression": ("r2", "neg_mean_absolute_error", "neg_root_mean_squared_error"),
}
"""For every kind of target; the first by default. Names are scikit-learn's scorers', and higher is better."""

Metric = Literal[
    "accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "neg_log_loss",
    "f1_micro", "average_precision", "r2", "neg_mean_absolute_error", "neg_root_mean_squared_error",
]  # fmt: skip
