"""ONNX graphs of scikit-learn's own estimators, through skl2onnx."""

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from sklearn.base import is_classifier

FEATURES, PREDICTIONS = "features", "predictions"


def sklearn_graph(head: Any, opset: int) -> Any:
    """Return an `onnx.ModelProto` with one input, `features [b, d]`, and one output, `predictions`.

    Parameters
    ----------
    head
        A fitted estimator or pipeline of scikit-learn's.
    opset
        Version of ONNX's operators.

    Raises
    ------
    ValueError
        If skl2onnx has no form of it.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    last = head.steps[-1][1] if hasattr(head, "steps") else head
    takes = [(FEATURES, FloatTensorType([None, head.n_features_in_]))]

    def convert(**options: bool) -> Any:
        with redirect_stdout(io.StringIO()):
            told = {id(last): options} if options else None
            return to_onnx(head, initial_types=takes, target_opset=opset, options=told)

    try:
        try:
            graph = convert(zipmap=False) if is_classifier(head) else convert()
        except NameError:  # an estimator without probabilities may not know this option, and gives scores on request
            graph = convert(raw_scores=True)
    except Exception as error:  # what it cannot convert it says in many ways
        reason = str(error).strip().splitlines()
        raise ValueError(f"{type(last).__name__} has no ONNX form: {reason[0] if reason else type(error).__name__}") from error
    return _one_output(graph)


def answer(head: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return what such a graph is to give: features `[b, d]` -> probabilities or scores `[b, c]`, or values `[b, m]`.

    Where a classifier has one score for two classes, the first class's is its negative.
    """
    name = next(
        (name for name in ("predict_proba", "decision_function") if is_classifier(head) and hasattr(head, name)), "predict"
    )

    def say(features: np.ndarray) -> np.ndarray:
        found = np.asarray(getattr(head, name)(features))
        if found.ndim > 1:
            return found
        return np.stack([-found, found], axis=1) if name == "decision_function" else found[:, None]

    return say


def _one_output(graph: Any) -> Any:
    """Keep the last output, which holds probabilities, scores or values, and what leads to it."""
    kept = graph.graph.output[-1]
    del graph.graph.output[:-1]
    for node in graph.graph.node:
        for number, name in enumerate(node.output):
            if name == kept.name:
                node.output[number] = PREDICTIONS
        for number, name in enumerate(node.input):
            if name == kept.name:
                node.input[number] = PREDICTIONS
    kept.name = PREDICTIONS
    return graph
