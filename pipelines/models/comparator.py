"""`ModelComparator`: trained models side by side on the same test samples, what they reach and what they cost."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from heads import Estimate, McNemar, classification_metrics, mcnemar
from heads.scores import softmax
from pipelines.errors import TrainingError, UsageError
from pipelines.feature_figures import save_figure
from pipelines.models.analysis import SavePath
from pipelines.models.backbone_module import BackboneModule
from pipelines.models.labelled import Labelled, read_labelled, with_labels
from pipelines.models.model import FeatureBasedModel
from pipelines.models.model_features import usable_rows
from pipelines.names import nearest

SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "f1": "f1_macro",
    "f1_macro": "f1_macro",
    "f1_weighted": "f1_weighted",
    "precision": "precision_macro",
    "recall": "recall_macro",
}
"""What a user may ask for -> the metric of `heads`; averages are over classes."""

UNITS = {
    "training_time": "s",
    "memory_usage": "MiB",
    "inference_time": "ms a sample",
    "parameters": "",
    "trainable_parameters": "",
}
"""What models cost, and its unit."""

METRICS = (*SCORES, "auc", *UNITS)
_BATCH = 32


@dataclass(frozen=True)
class ComparedModel:
    """One model's part of a comparison.

    Attributes
    ----------
    name
        For people.
    values
        Metric -> value; None where it cannot be told, such as the training time of a model that no trainer trained.
    intervals
        Metric -> ends of its 95% bootstrap interval, for those that have one.
    """

    name: str
    values: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class ModelComparison:
    """What `compare_models` found.

    Attributes
    ----------
    models
        In the order given.
    metrics
        What was asked for.
    samples
        How many test samples every model could use.
    paired
        (first, second) -> the exact test whether one of two models is right more often (McNemar 1947).
    """

    models: tuple[ComparedModel, ...]
    metrics: tuple[str, ...]
    samples: int
    paired: dict[tuple[str, str], McNemar]

    def __getitem__(self, name: str) -> dict[str, float | None]:
        """Return a model's values."""
        for model in self.models:
            if model.name == name:
                return model.values
        raise KeyError(name)

    def __str__(self) -> str:
        """Return a table."""
        rows = [["model", *(f"{name} [{UNITS[name]}]" if UNITS.get(name) else name for name in self.metrics)]]
        for model in self.models:
            rows.append([model.name, *(_shown(model, name) for name in self.metrics)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


class ModelComparator:
    """Compares trained models on the same test samples."""

    def compare_models(
        self,
        models: Sequence[FeatureBasedModel] | Mapping[str, FeatureBasedModel],
        test_data: Any,
        metrics: Sequence[str] = ("accuracy", "f1", "training_time", "memory_usage"),
    ) -> ModelComparison:
        """Compare models.

        Every model answers with its whole network in the loop, as it would for samples that it has never met.

        Parameters
        ----------
        models
            Trained by `FeatureBasedTrainer`; a list, or name -> model.
        test_data
            Samples with labels; see `read_labelled`. Those that any model cannot use are left out for all.
        metrics
            `accuracy`, `balanced_accuracy`, `f1`, `f1_weighted`, `precision`, `recall` (means over classes), `auc` (one class
            against the rest, mean), `training_time` (s), `memory_usage` (peak while training, MiB: of the GPU, or of the
            whole process), `inference_time` (ms a sample), `parameters`, `trainable_parameters`.

        Raises
        ------
        UsageError
            If there is no such metric, with the nearest name, or a model has not been trained.
        """
        for metric in metrics:
            if metric not in METRICS:
                raise UsageError(f"metric {metric!r} is not one; {nearest(metric, METRICS)}")
        named = dict(models) if isinstance(models, Mapping) else dict(zip(_names(list(models)), models, strict=True))
        data = with_labels(read_labelled(test_data, "test_data"))
        rows = np.arange(len(data))
        for model in named.values():
            rows = np.intersect1d(rows, usable_rows(model, data).rows)
        if not len(rows):
            raise TrainingError("no test sample can be used by every model")
        kept = data.take(rows)
        answers = {name: _answer(name, model, kept) for name, model in named.items()}
        compared = tuple(_compare(name, model, answers[name], metrics) for name, model in named.items())
        order = list(named)
        paired = {
            (first, second): mcnemar(answers[first].right, answers[second].right)
            for number, first in enumerate(order)
            for second in order[number + 1 :]
        }
        return ModelComparison(compared, tuple(metrics), len(rows), paired)

    def plot_comparison(self, results: ModelComparison, save_path: SavePath = None) -> Figure:
        """Draw a panel for every metric, with intervals where there are some."""
        count = len(results.metrics)
        across = min(count, 4)
        down = -(-count // across)
        figure = Figure(figsize=(3.1 * across, (0.9 + 0.45 * len(results.models)) * down + 0.4), layout="constrained")
        panels = np.atleast_1d(figure.subplots(down, across)).ravel()
        names = [model.name for model in results.models]
        for number, (axes, metric) in enumerate(zip(panels, results.metrics, strict=False)):
            for place, model in enumerate(results.models):
                value, ends = model.values[metric], model.intervals.get(metric)
                if ends is not None and value is not None:
                    axes.errorbar(
                        value, place, xerr=[[value - ends[0]], [ends[1] - value]], fmt="o", color=f"C{place}", capsize=3
                    )
                else:
                    axes.barh(place, value or 0, color=f"C{place}", alpha=0.8, height=0.35)
                middle = 0 if ends is None else value
                axes.annotate(_shown(model, metric), (middle or 0, place), (0 if ends else 2, 9), textcoords="offset points",
                              ha="center" if ends else "left", fontsize=8)  # fmt: skip
            axes.margins(x=0.25, y=0.35)
            axes.set_yticks(range(len(names)), names if number % across == 0 else [])
            axes.invert_yaxis()
            unit = UNITS.get(metric)
            axes.set_title(f"{metric} [{unit}]" if unit else metric, loc="left", fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
        for axes in panels[count:]:
            axes.set_visible(False)
        return save_figure(figure, save_path)


@dataclass(frozen=True)
class _Answer:
    codes: np.ndarray
    probabilities: np.ndarray
    seconds: float

    @property
    def right(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1) == self.codes


def _answer(name: str, model: FeatureBasedModel, data: Labelled) -> _Answer:
    if model.task != "classification":
        raise UsageError(f"{name} is a model of {model.task}; compare_models knows one class a sample, `evaluate` the rest")
    if model.classes is None:
        raise UsageError(f"{name} has not been trained, so it knows no classes; train it with FeatureBasedTrainer first")
    codes = model.objective.encode(data.labels or (), data.places)
    model.eval()
    began = time.perf_counter()
    with torch.inference_mode():
        parts = [model(*part.inputs()).float().cpu() for part in usable_rows(model, data).batches(_BATCH)]
    logits = torch.cat(parts).numpy()[:, : len(model.classes)]
    return _Answer(codes, softmax(logits.astype(float)), time.perf_counter() - began)


def _compare(name: str, model: FeatureBasedModel, answer: _Answer, metrics: Sequence[str]) -> ComparedModel:
    predicted = answer.probabilities.argmax(axis=1)
    scores = classification_metrics(answer.codes, predicted, answer.probabilities, answer.probabilities.shape[1])
    parameters = list(model.parameters())
    costs: dict[str, float | None] = {
        "auc": _auc(answer) if "auc" in metrics else None,
        "training_time": None if model.trained is None else model.trained.seconds,
        "memory_usage": None if model.trained is None else model.trained.peak_bytes / 2**20,
        "inference_time": 1000 * answer.seconds / len(answer.codes),
        "parameters": float(sum(parameter.numel() for parameter in parameters)),
        "trainable_parameters": float(sum(p.numel() for p in parameters if p.requires_grad)),
    }
    found: dict[str, Estimate] = {metric: scores[SCORES[metric]] for metric in metrics if metric in SCORES}
    values = {metric: found[metric].value if metric in found else costs[metric] for metric in metrics}
    return ComparedModel(name, values, {metric: (one.low, one.high) for metric, one in found.items()})


def _auc(answer: _Answer) -> float | None:
    """Return the area under the ROC curve, averaged over the classes that are there; None if only one is."""
    present = np.unique(answer.codes)
    if len(present) < 2:
        return None
    areas = [roc_auc_score(answer.codes == code, answer.probabilities[:, code]) for code in present.tolist()]
    return float(np.mean(areas))


def _names(models: Sequence[FeatureBasedModel]) -> list[str]:
    """Name models by backbone and by how much of it learns; equal ones are numbered."""
    told = []
    for model in models:
        backbone = model.backbone
        name = backbone.checkpoint.name if isinstance(backbone, BackboneModule) else type(backbone).__name__
        learning = [parameter.requires_grad for parameter in backbone.parameters()]
        state = "frozen" if not any(learning) else "unfrozen" if all(learning) else "partly unfrozen"
        told.append(f"{name.rpartition('/')[2]}, {state}")
    return [name if told.count(name) == 1 else f"{name} {told[: place + 1].count(name)}" for place, name in enumerate(told)]


def _shown(model: ComparedModel, metric: str) -> str:
    value = model.values[metric]
    if value is None:
        return "not known"
    if metric in model.intervals:
        low, high = model.intervals[metric]
        return f"{value:.3f} ({low:.3f} to {high:.3f})"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
