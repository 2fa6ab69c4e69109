"""Features to predictions: heads, training, sweeps, selection, metrics, saved heads. Takes arrays, not stores."""

from heads.abmil import ABMILHead, ABMILRegressor, GatedAttentionClassifier
from heads.attention import AttentionClassifier, AttentionHead, AttentionRegressor
from heads.attention_pool import AttentionPoolClassifier, AttentionPoolHead, AttentionPoolRegressor
from heads.calibration import apply_temperature, apply_temperature_to_labels, calibration_error, fit_temperature, tune_threshold
from heads.callbacks import Callback, History, TrainingState
from heads.catalog import HEADS, REGRESSORS, head_class, make_head
from heads.comparison import (
    McNemar,
    PairedDifference,
    adjust_p_values,
    bootstrap_difference,
    corrected_resampled_t,
    difference_of_shares,
    mcnemar,
)
from heads.conformal import ConformalIntervals, ConformalSets, conformal_intervals, conformal_sets
from heads.decision import Decision, check_decision, fit_decision
from heads.ensemble import greedy_weights, mean_prediction, top_weights
from heads.estimates import Estimate
from heads.few_shot import FewShotCurve, few_shot_curve
from heads.gradients import GradientMonitor, GradientReport
from heads.greedy import GreedyHead, GreedyRegressor
from heads.group_lasso import GroupLassoHead, GroupLassoRegressor
from heads.halving import HalvingRandomSweepCV, HalvingSweepCV
from heads.inputs import Tokens
from heads.layer_mix import LayerMixClassifier, LayerMixHead, LayerMixRegressor
from heads.lda import LDAHead
from heads.linear import LinearClassifier, LinearHead
from heads.metrics import class_estimates, classification_metrics, confusion_matrix
from heads.mlp import MLPClassifier, MLPHead, MLPRegressor
from heads.multilabel_metrics import label_estimates, multilabel_metrics
from heads.nearest_mean import NearestMeanHead
from heads.neighbours import KNNHead, KNNRegressor
from heads.onnx import export_onnx
from heads.optuna_search import OptunaSweepCV
from heads.predictions import class_probabilities, gives_probabilities, label_probabilities, score_predictions
from heads.probabilities import Reliability, area_estimates, probability_metrics, reliability
from heads.regression_metrics import regression_metrics
from heads.ridge import RidgeHead, RidgeRegressor
from heads.saving import SavedHead, load_head, save_head
from heads.search import RandomSweepCV
from heads.selection import choose_splitter, hold_out, one_standard_error
from heads.slices import GroupScore, score_groups
from heads.sweep import SweepCV
from heads.sweep_results import TrialReport
from heads.targets import Targets, encode_targets, plain_labels
from heads.torch_head import TorchHead, TorchRegressor
from heads.transferability import h_score, knn_accuracy, logme
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
    "ConformalIntervals",
    "ConformalSets",
    "Decision",
    "Estimate",
    "FewShotCurve",
    "GatedAttentionClassifier",
    "GradientMonitor",
    "GradientReport",
    "GreedyHead",
    "GreedyRegressor",
    "GroupLassoHead",
    "GroupLassoRegressor",
    "GroupScore",
    "HalvingRandomSweepCV",
    "HalvingSweepCV",
    "History",
    "KNNHead",
    "KNNRegressor",
    "LDAHead",
    "LayerMixClassifier",
    "LayerMixHead",
    "LayerMixRegressor",
    "LinearClassifier",
    "LinearHead",
    "MLPClassifier",
    "MLPHead",
    "MLPRegressor",
    "McNemar",
    "NearestMeanHead",
    "OptunaSweepCV",
    "PairedDifference",
    "RandomSweepCV",
    "Reliability",
    "RidgeHead",
    "RidgeRegressor",
    "SavedHead",
    "SweepCV",
    "Targets",
    "Tokens",
    "TorchHead",
    "TorchRegressor",
    "TrainingState",
    "TrialReport",
    "ZeroShotHead",
    "adjust_p_values",
    "apply_temperature",
    "apply_temperature_to_labels",
    "area_estimates",
    "bootstrap_difference",
    "calibration_error",
    "check_decision",
    "choose_splitter",
    "class_estimates",
    "class_probabilities",
    "classification_metrics",
    "conformal_intervals",
    "conformal_sets",
    "confusion_matrix",
    "corrected_resampled_t",
    "difference_of_shares",
    "encode_targets",
    "export_onnx",
    "few_shot_curve",
    "fit_decision",
    "fit_temperature",
    "gives_probabilities",
    "greedy_weights",
    "h_score",
    "head_class",
    "hold_out",
    "knn_accuracy",
    "label_estimates",
    "label_probabilities",
    "load_head",
    "logme",
    "make_head",
    "mcnemar",
    "mean_prediction",
    "multilabel_metrics",
    "one_standard_error",
    "plain_labels",
    "probability_metrics",
    "regression_metrics",
    "reliability",
    "save_head",
    "score_groups",
    "score_predictions",
    "top_weights",
    "tune_threshold",
]
