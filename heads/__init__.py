"""Features to predictions: heads, training, sweeps, selection, metrics, saved heads. Takes arrays, not stores."""

from heads.abmil import ABMILHead, ABMILRegressor, GatedAttentionClassifier
from heads.attention import AttentionClassifier, AttentionHead, AttentionRegressor
from heads.attention_pool import AttentionPoolClassifier, AttentionPoolHead, AttentionPoolRegressor
from heads.callbacks import Callback, History, TrainingState
from heads.catalog import HEADS, REGRESSORS, head_class, make_head
from heads.gradients import GradientMonitor, GradientReport
from heads.inputs import Tokens
from heads.lda import LDAHead
from heads.linear import LinearClassifier, LinearHead
from heads.metrics import Estimate, classification_metrics, confusion_matrix, per_class
from heads.mlp import MLPClassifier, MLPHead, MLPRegressor
from heads.nearest_mean import NearestMeanHead
from heads.neighbours import KNNHead, KNNRegressor
from heads.ridge import RidgeHead, RidgeRegressor
from heads.saving import SavedHead, load_head, save_head
from heads.selection import choose_splitter, hold_out
from heads.sweep import SweepCV
from heads.targets import Targets, encode_targets, plain_labels
from heads.torch_head import TorchHead, TorchRegressor
from heads.zero_shot import ZeroShotHead

__all__ = [
    "HEADS",
    "REGRESSORS",
    "ABMILHead",
    "ABMILRegressor",
    "AttentionClassifier",
    "AttentionHead",
    "AttentionPoolClassifier",
    "AttentionPoolHead",
    "AttentionPoolRegressor",
    "AttentionRegressor",
    "Callback",
    "Estimate",
    "GatedAttentionClassifier",
    "GradientMonitor",
    "GradientReport",
    "History",
    "KNNHead",
    "KNNRegressor",
    "LDAHead",
    "LinearClassifier",
    "LinearHead",
    "MLPClassifier",
    "MLPHead",
    "MLPRegressor",
    "NearestMeanHead",
    "RidgeHead",
    "RidgeRegressor",
    "SavedHead",
    "SweepCV",
    "Targets",
    "Tokens",
    "TorchHead",
    "TorchRegressor",
    "TrainingState",
    "ZeroShotHead",
    "choose_splitter",
    "classification_metrics",
    "confusion_matrix",
    "encode_targets",
    "head_class",
    "hold_out",
    "load_head",
    "make_head",
    "per_class",
    "plain_labels",
    "save_head",
]
