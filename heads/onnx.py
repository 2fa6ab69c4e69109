"""ONNX files of a head, or of a backbone with a head on it, checked against what Python gives. Needs `headstart[onnx]`."""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional

from heads.neighbours import KNNHead, KNNRegressor
from heads.onnx_neighbours import Neighbours
from heads.onnx_sklearn import FEATURES, PREDICTIONS, answer, sklearn_graph
from heads.scores import LinearProbabilities, LinearScores
from heads.trained import TrainedHead

CLOSE = 1e-4
OPSET = 18
"""The version of ONNX's operators that is written."""


class Prediction(nn.Module):
    """What a fitted head computes, as one torch module in float32.

    Probabilities `[b, c]` for a classifier (scores, for one that has no probabilities), values `[b, m]` for a regressor; of
    features `[b, d]`, or of tokens `[b, t, d]` and their mask `[b, t]`.

    Parameters
    ----------
    head
        A fitted head whose scores are linear in the features, or that was trained step by step.

    Raises
    ------
    ValueError
        If it is another kind of head.
    """

    def __init__(self, head: Any) -> None:
        super().__init__()
        width = head.n_features_in_
        self.unit_length = False
        self.spread = False
        self.classes = is_classifier(head) and isinstance(head, LinearProbabilities | TrainedHead)
        self.multilabel = bool(getattr(head, "multilabel_", False))
        scaling: dict[str, Any] = {"mean": np.zeros(width), "scale": np.ones(width)}
        self.module: nn.Module
        if isinstance(head, TrainedHead):
            self.module = copy.deepcopy(head.module_).cpu()
            scaling = {"mean": head.mean_, "scale": head.scale_}
        elif isinstance(head, LinearScores) or hasattr(head, "coef_"):
            self.module = nn.Linear(width, len(head.coef_))
            self.module.load_state_dict({"weight": torch.as_tensor(head.coef_), "bias": torch.as_tensor(head.intercept_)})
            self.unit_length = getattr(head, "metric", None) == "cosine" or hasattr(head, "embeddings")
            self.spread = self.classes and len(head.classes_) == 2 and not self.multilabel
        else:
            raise ValueError(f"{type(head).__name__} has no ONNX form here; linear heads and heads of torch modules have")
        targets = (getattr(head, "target_mean_", [0.0]), getattr(head, "target_scale_", [1.0]))
        scaling |= {"target_mean": targets[0], "target_scale": targets[1]}
        for name, array in scaling.items():
            self.register_buffer(name, torch.as_tensor(np.asarray(array)))
        self.float().eval()

    def forward(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return what the head predicts."""
        features = (features - self.mean) / self.scale
        if self.unit_length:
            features = functional.normalize(features, dim=-1)
        found: torch.Tensor = self.module(features) if mask is None else self.module(features, mask)
        if not self.classes:
            return found * self.target_scale + self.target_mean
        if self.multilabel:
            return found.sigmoid()
        if self.spread:
            found = torch.cat([torch.zeros_like(found), found], dim=1)
        return found.softmax(dim=1)


class Chain(nn.Module):
    """A backbone and the prediction on its features.

    Parameters
    ----------
    backbone
        Any inputs -> features `[b, d]`.
    prediction
        Features -> predictions.
    """

    def __init__(self, backbone: nn.Module, prediction: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.prediction = prediction

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return predictions for a backbone's inputs."""
        predicted: torch.Tensor = self.prediction(self.backbone(*inputs))
        return predicted


def export_onnx(
    head: Any,
    path: Path | str,
    backbone: nn.Module | None = None,
    example: Mapping[str, torch.Tensor] | None = None,
    expects: Mapping[str, Any] | None = None,
) -> None:
    """Write a head, or a backbone with the head on it, as one ONNX file, and see that onnxruntime gives the same.

    Parameters
    ----------
    head
        A fitted head whose scores are linear in the features, that was trained step by step, or that asks the nearest samples;
        or an estimator of scikit-learn's that skl2onnx knows.
    path
        The file. Its input is `features` (and `mask` for heads that take tokens), or what `example` names; its output is
        `predictions`. The classes and `expects` are in the file's metadata, as JSON.
    backbone
        A torch module on the CPU that gives the features `[b, d]` that the head was fitted on.
    example
        Name -> tensor for the backbone's inputs, in its order, with at least two samples. Numbers of samples may differ
        later, and lengths of texts (the second size of two-dimensional integers).
    expects
        What features the head is for, as in `save_head`.

    Raises
    ------
    ImportError
        Without `headstart[onnx]`.
    ValueError
        If the head has no ONNX form, a backbone comes without an example or gives other features, or the path is a folder.
    RuntimeError
        If onnxruntime's predictions are not those of Python.
    """
    check_is_fitted(head)
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; name a file in it")
    foreign = type(head).__module__.startswith("sklearn.")
    try:
        import onnx.compose
        import onnxscript  # noqa: F401  torch's exporter needs it

        if foreign:
            import skl2onnx  # noqa: F401
    except ImportError as error:
        raise ImportError("ONNX export needs `pip install headstart[onnx]`") from error
    if backbone is not None:
        if example is None:
            raise ValueError("a backbone is exported with an `example` of its inputs: name -> tensor")
        _check_width(head, backbone, example)
    example = _features(head) if example is None or backbone is None else example
    if foreign:
        written, expected = _export_sklearn(head, backbone, example)
    else:
        model: nn.Module = Neighbours(head) if isinstance(head, KNNHead | KNNRegressor) else Prediction(head)
        model = model if backbone is None else Chain(backbone.eval(), model)
        written, expected = _export_torch(model, example, PREDICTIONS, _lengths(head, backbone, example)), model
    classes = head.classes_.tolist() if is_classifier(head) else None
    onnx.helper.set_model_props(written, {"classes": json.dumps(classes), "expects": json.dumps(dict(expects or {}))})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(written, path)
    _compare(path, expected, example)


def _export_torch(model: nn.Module, example: Mapping[str, torch.Tensor], output: str, lengths: Sequence[bool]) -> Any:
    """Return a torch module as an `onnx.ModelProto`; `lengths` says which inputs have a second size that may differ."""
    batch, length = torch.export.Dim("samples"), torch.export.Dim("length")
    shapes = tuple({0: batch, 1: length} if differs else {0: batch} for differs in lengths)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            model,
            tuple(example.values()),
            input_names=list(example),
            output_names=[output],
            dynamic_shapes=(shapes,) if isinstance(model, Chain) else shapes,
            opset_version=OPSET,
            verbose=False,
        )
    return program.model_proto


def _export_sklearn(
    head: Any, backbone: nn.Module | None, example: Mapping[str, torch.Tensor]
) -> tuple[Any, Callable[..., torch.Tensor]]:
    """Return the graph of a scikit-learn estimator, on a backbone's if there is one, and what it is to give."""
    import onnx

    graph, say = sklearn_graph(head, OPSET), answer(head)
    if backbone is None:
        return graph, lambda features: torch.from_numpy(say(features.numpy()))
    chain = Chain(backbone.eval(), nn.Identity())
    below = _export_torch(chain, example, FEATURES, _lengths(head, backbone, example))
    graph = onnx.compose.add_prefix(graph, "head.", rename_inputs=False, rename_outputs=False)
    graph.ir_version = below.ir_version = max(graph.ir_version, below.ir_version)
    whole = onnx.compose.merge_models(below, graph, io_map=[(FEATURES, FEATURES)])
    return whole, lambda *inputs: torch.from_numpy(say(chain(*inputs).numpy()))


def _check_width(head: Any, backbone: nn.Module, example: Mapping[str, torch.Tensor]) -> None:
    """See that a backbone gives the features that a head takes."""
    with torch.inference_mode():
        found = backbone.eval()(*example.values())
    expected = getattr(head, "n_features_in_", None)
    if isinstance(found, torch.Tensor) and found.ndim == 2 and expected not in (None, found.shape[1]):
        raise ValueError(f"the backbone gives {found.shape[1]} features a sample, and the head was fitted on {expected}")


def _features(head: Any) -> dict[str, torch.Tensor]:
    """Make up features of the right shape."""
    generator = torch.Generator().manual_seed(0)
    if getattr(head, "takes_tokens", False):
        mask = torch.ones(2, 5, dtype=torch.bool)
        mask[1, 3:] = False
        return {"features": torch.randn(2, 5, head.n_features_in_, generator=generator), "mask": mask}
    return {"features": torch.randn(3, head.n_features_in_, generator=generator)}


def _lengths(head: Any, backbone: nn.Module | None, example: Mapping[str, torch.Tensor]) -> list[bool]:
    """Tell which inputs have a number of tokens as their second size."""
    if backbone is None:
        return [bool(getattr(head, "takes_tokens", False))] * len(example)
    return [tensor.ndim == 2 and not tensor.is_floating_point() for tensor in example.values()]


def _compare(path: Path, model: Callable[..., torch.Tensor], example: Mapping[str, torch.Tensor]) -> None:
    """Run one sample, and all of them twice over, through both."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for inputs in (
        {name: tensor[:1] for name, tensor in example.items()},
        {name: torch.cat([tensor, tensor]) for name, tensor in example.items()},
    ):
        with torch.inference_mode():
            expected = model(*inputs.values()).numpy()
        (found,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        far = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
        if not far <= CLOSE:
            path.unlink()
            raise RuntimeError(f"{path}: onnxruntime's predictions are {far:.1e} from Python's")
