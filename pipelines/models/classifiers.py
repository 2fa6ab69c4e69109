"""The classifiers that a model can be given by name."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from heads import AttentionClassifier, LinearClassifier, MLPClassifier
from pipelines.errors import UsageError
from pipelines.names import nearest

CLASSIFIERS: dict[str, Callable[..., nn.Module]] = {
    "linear": LinearClassifier,
    "mlp": MLPClassifier,
    "attention": AttentionClassifier,
}

FEWEST = {"classification": 2, "multilabel": 1, "regression": 1}
"""Outputs that a model of a kind of target has at least; so many if nobody says how many."""


def describe_classifier(name: str, width: int, outputs: int, hidden_dim: int | Sequence[int], dropout: float) -> dict[str, Any]:
    """Return what a classifier of some name is made of, as JSON can hold it; the last two are of an `mlp`."""
    params: dict[str, Any] = {"input_dim": width, "num_classes": outputs}
    if name == "mlp":
        params |= {"hidden_dim": hidden_dim, "dropout": dropout}
    return {"classifier": name, "params": params}


def check_name(classifier: Any) -> None:
    """Raise `UsageError`, with the nearest name, if a classifier is given by a name that is none."""
    if isinstance(classifier, str) and classifier not in CLASSIFIERS:
        raise UsageError(f"classifier {classifier!r} is not one; {nearest(classifier, CLASSIFIERS)}")


def count_outputs(asked: int | None, kind: str) -> int:
    """Return how many outputs a model for a kind of target has; raises `UsageError` if those asked for are too few."""
    if asked is None and kind == "multilabel":
        raise UsageError("a model of several labels needs num_classes: how many labels there are")
    outputs = FEWEST[kind] if asked is None else asked
    if outputs < FEWEST[kind]:
        model = "a classifier" if kind == "classification" else f"a model for {kind}"
        raise UsageError(f"num_classes is {outputs}; {model} needs at least {FEWEST[kind]}")
    return outputs


def takes_tokens(classifier: nn.Module) -> bool:
    """Tell whether a classifier takes tokens with their mask, and not vectors."""
    return "mask" in inspect.signature(classifier.forward).parameters
