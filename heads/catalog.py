"""Head kinds by name: our own, and any scikit-learn classifier by its import path."""

import difflib
import importlib
from typing import Any

from sklearn.base import BaseEstimator, is_classifier, is_regressor

from heads.linear import LinearHead
from heads.mlp import MLPHead

HEADS: dict[str, type[BaseEstimator]] = {"linear": LinearHead, "mlp": MLPHead}


def head_class(kind: str) -> type[BaseEstimator]:
    """Return the class of a head kind: `linear`, `mlp`, or an import path such as `sklearn.svm.LinearSVC`.

    Raises
    ------
    ValueError
        If there is no such kind or the path does not lead to a scikit-learn classifier.
    """
    if kind in HEADS:
        return HEADS[kind]
    module, dot, name = kind.rpartition(".")
    if not dot:
        near = difflib.get_close_matches(kind, HEADS, n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise ValueError(f"`{kind}` is no kind of head; {hint}kinds are {', '.join(HEADS)}, or a classifier's import path")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"`{kind}` cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, BaseEstimator) and (is_classifier(found()) or is_regressor(found()))):
        raise ValueError(f"`{kind}` is not a scikit-learn classifier or regressor")
    return found


def make_head(kind: str, **params: Any) -> BaseEstimator:
    """Build an unfitted head of a kind.

    Raises
    ------
    ValueError
        If a parameter is not one of this kind's, with the nearest name.
    """
    cls = head_class(kind)
    known = cls().get_params()
    for name in params:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            raise ValueError(f"`{name}` is not a parameter of {kind}; {hint}parameters are {', '.join(known)}")
    return cls(**params)
