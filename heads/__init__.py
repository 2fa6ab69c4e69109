"""Features to predictions: heads, training, sweeps, selection, metrics, saved heads. Takes arrays, not stores."""

from heads.calibration import (
    apply_temperature,
    apply_temperature_to_labels,
    calibration_error,
    fit_temperature,
    tune_threshold,
)
from heads.catalog import HEADS, head_class, make_head
from heads.comparison import (
    McNemar,
    PairedDifference,
    bootstrap_difference,
    corrected_resampled_t,
    mcnemar,
)
from heads.conformal import ConformalIntervals, ConformalSets, conformal_intervals, conformal_sets
from heads.decision import Decision, fit_decision
from heads.ensemble import greedy_weights, mean_prediction, top_weights
from heads.linear import LinearHead
from heads.metrics import Estimate, classification_metrics, confusion_matrix, per_class
from heads.mlp import MLPClassifier, MLPHead
from heads.multilabel_metrics import multilabel_metrics, per_label
from heads.predictions import class_probabilities, gives_probabilities, label_probabilities, score_predictions
from heads.regression_metrics import regression_metrics
from heads.saving import SavedHead, load_head, save_head
from heads.selection import choose_splitter, hold_out, one_standard_error
from heads.sweep import SweepCV

__all__ = [
    "HEADS",
    "ConformalIntervals",
    "ConformalSets",
    "Decision",
    "Estimate",
    "LinearHead",
    "MLPClassifier",
    "MLPHead",
    "McNemar",
    "PairedDifference",
    "SavedHead",
    "SweepCV",
    "apply_temperature",
    "apply_temperature_to_labels",
    "bootstrap_difference",
    "calibration_error",
    "choose_splitter",
    "class_probabilities",
    "classification_metrics",
    "conformal_intervals",
    "conformal_sets",
    "confusion_matrix",
    "corrected_resampled_t",
    "fit_decision",
    "fit_temperature",
    "gives_probabilities",
    "greedy_weights",
    "head_class",
    "hold_out",
    "label_probabilities",
    "load_head",
    "make_head",
    "mcnemar",
    "mean_prediction",
    "multilabel_metrics",
    "one_standard_error",
    "per_class",
    "per_label",
    "regression_metrics",
    "save_head",
    "score_predictions",
    "top_weights",
    "tune_threshold",
]
