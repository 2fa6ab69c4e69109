"""Features to predictions: heads, training, sweeps, selection, metrics, saved heads. Takes arrays, not stores."""

from heads.catalog import HEADS, head_class, make_head
from heads.linear import LinearHead
from heads.metrics import Estimate, classification_metrics, confusion_matrix, per_class
from heads.mlp import MLPClassifier, MLPHead
from heads.saving import SavedHead, load_head, save_head
from heads.selection import choose_splitter, hold_out
from heads.sweep import SweepCV

__all__ = [
    "HEADS",
    "Estimate",
    "LinearHead",
    "MLPClassifier",
    "MLPHead",
    "SavedHead",
    "SweepCV",
    "choose_splitter",
    "classification_metrics",
    "confusion_matrix",
    "head_class",
    "hold_out",
    "load_head",
    "make_head",
    "per_class",
    "save_head",
]
