"""Head kinds by name: our own, and any scikit-learn estimator by its import path."""

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator, is_classifier, is_regressor

from heads.abmil import ABMILHead, ABMILRegressor
from heads.attention import AttentionHead, AttentionRegressor
from heads.attention_pool import AttentionPoolHead, AttentionPoolRegressor
from heads.greedy import GreedyHead, GreedyRegressor
from heads.group_lasso import GroupLassoHead, GroupLassoRegressor
from heads.layer_mix import LayerMixHead, LayerMixRegressor
from heads.lda import LDAHead
from heads.limits import check_value
from heads.linear import LinearHead
from heads.mlp import MLPHead, MLPRegressor
from heads.nearest_mean import NearestMeanHead
from heads.neighbours import KNNHead, KNNRegressor
from heads.ridge import RidgeHead, RidgeRegressor
from heads.torch_head import TorchHead, TorchRegressor
from heads.zero_shot import ZeroShotHead

HEADS: dict[str, type[BaseEstimator]] = {
    "linear": LinearHead,
    "mlp": MLPHead,
    "attention": AttentionHead,
    "attention_pool": AttentionPoolHead,
    "abmil": ABMILHead,
    "knn": KNNHead,
    "nearest_mean": NearestMeanHead,
    "ridge": RidgeHead,
    "lda": LDAHead,
    "group_lasso": GroupLassoHead,
    "greedy": GreedyHead,
    "layer_mix": LayerMixHead,
    "zero_shot": ZeroShotHead,
    "torch": TorchHead,
}
REGRESSORS: dict[str, type[BaseEstimator]] = {
    "linear": RidgeRegressor,
    "mlp": MLPRegressor,
    "attention": AttentionRegressor,
    "attention_pool": AttentionPoolRegressor,
    "abmil": ABMILRegressor,
    "knn": KNNRegressor,
    "ridge": RidgeRegressor,
    "group_lasso": GroupLassoRegressor,
    "greedy": GreedyRegressor,
    "layer_mix": LayerMixRegressor,
    "torch": TorchRegressor,
}
TASKS: dict[str, Mapping[str, type[BaseEstimator]]] = {"classification": HEADS, "regression": REGRESSORS}


def head_class(kind: str, task: str = "classification") -> type[BaseEstimator]:
    """Return the class of a head kind: `linear`, `mlp`, ..., or an import path such as `sklearn.svm.LinearSVC`.

    Parameters
    ----------
    kind
        A name in `HEADS`, or for regression in `REGRESSORS`, or an import path.
    task
        `classification` or `regression`.

    Raises
    ------
    ValueError
        If there is no such kind or the path does not lead to a scikit-learn estimator for the task.
    """
    kinds = TASKS[task]
    wanted = "classifier" if task == "classification" else "regressor"
    if kind in kinds:
        return kinds[kind]
    module, dot, name = kind.rpartition(".")
    if not dot:
        near = difflib.get_close_matches(kind, kinds, n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise ValueError(
            f"`{kind}` is no kind of head for {task}; {hint}kinds are {', '.join(kinds)}, or a {wanted}'s import path"
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"`{kind}` cannot be imported: {error}") from error
    suits = is_classifier if task == "classification" else is_regressor
    if not (isinstance(found, type) and issubclass(found, BaseEstimator) and suits(found())):
        raise ValueError(f"`{kind}` is not a scikit-learn {wanted}")
    return found


def make_head(kind: str, task: str = "classification", /, **params: Any) -> BaseEstimator:
    """Build an unfitted head of a kind.

    Raises
    ------
    ValueError
        If a parameter is not one of this kind's, with the nearest name, or cannot have its value.
    """
    cls = head_class(kind, task)
    known = cls().get_params()
    for name, value in params.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            raise ValueError(f"`{name}` is not a parameter of {kind}; {hint}parameters are {', '.join(known)}")
        check_value(cls, kind, name, value)
    return cls(**params)
