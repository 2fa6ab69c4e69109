"""Pictures of features and of trainings, drawn by matplotlib without a display."""

import functools
import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from pipelines.errors import UsageError
from pipelines.names import nearest
from pipelines.projection import METHODS, arrange, principal_components

MOST_POINTS = 5000
"""Samples that t-SNE and UMAP are given; more are thinned out evenly, which the picture says."""

_MANY = 12
_OTHER_SCRIPTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "IPAexGothic",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
)
"""Fonts that a machine may have for labels that matplotlib's own cannot write."""


def project(features: np.ndarray, method: str, seed: int = 0) -> np.ndarray:
    """Project features `[n, d]` to the plane, `[n, 2]`.

    Parameters
    ----------
    features
        Vectors.
    method
        `pca`; `tsne` or `umap`, after PCA to 50 dimensions.
    seed
        Fixes the last two.

    Raises
    ------
    UsageError
        If there is no such method, its package is not installed, or there are fewer than three samples.
    """
    if method not in METHODS:
        raise UsageError(f"method {method!r} is not one; {nearest(method, METHODS)}")
    if len(features) < 3:
        raise UsageError(f"a picture of the feature space takes at least 3 samples, and there are {len(features)}")
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise UsageError("umap-learn is not installed; pip install 'headstart[report]'")
    components, _ = principal_components(features, seed)
    return components[:, :2] if method == "pca" else arrange(components, method, seed)


def thin(count: int, most: int = MOST_POINTS) -> np.ndarray:
    """Return positions of at most so many of `count` samples, evenly over all."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def scatter_figure(points: np.ndarray, values: Sequence[Any] | None, title: str, legend: str = "label") -> Figure:
    """Draw points `[n, 2]`, coloured by what stands with each: names by a legend, numbers by a scale."""
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.add_subplot()
    if values is None:
        axes.scatter(points[:, 0], points[:, 1], s=10, alpha=0.6, linewidths=0)
    elif all(isinstance(value, float) for value in values):
        drawn = axes.scatter(points[:, 0], points[:, 1], c=np.asarray(values), s=10, alpha=0.7, linewidths=0, cmap="viridis")
        figure.colorbar(drawn, ax=axes, label=legend)
    else:
        names = sorted(set(map(named, values)))
        told = np.array(list(map(named, values)))
        colours = _colours(len(names))
        for name, colour in zip(names, colours, strict=True):
            part = points[told == name]
            axes.scatter(part[:, 0], part[:, 1], s=10, alpha=0.7, linewidths=0, color=colour, label=_short(name))
        if len(names) <= 2 * _MANY:
            axes.legend(title=legend, frameon=False, markerscale=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.set_title(title, loc="left", fontsize=10)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return figure


def named(value: Any) -> str:
    """Return what a picture calls a value; of several labels a sample, their names."""
    if not isinstance(value, list | tuple | set | frozenset):
        return str(value)
    return ", ".join(map(str, sorted(value) if all(isinstance(name, str) for name in value) else value)) or "none"


def distribution_figure(features: np.ndarray, labels: Sequence[Any] | None, most: int = 5) -> Figure:
    """Draw how features `[n, d]` are distributed: those that differ most between classes, class by class.

    Features are ordered by the F statistic of a one-way analysis of variance, or by their variance where there are no labels.
    The last panel is of the samples' norms.
    """
    names = [] if labels is None else sorted(set(map(named, labels)))
    told = None if labels is None else np.array(list(map(named, labels)))
    order = np.argsort(-_importance(features, told if len(names) > 1 else None), kind="stable")[: min(most, features.shape[1])]
    columns = [(f"feature {number}", features[:, number]) for number in order.tolist()]
    columns.append(("norm", np.linalg.norm(features, axis=1)))
    across = 3
    rows = -(-len(columns) // across)
    figure = Figure(figsize=(9, 2.3 * rows + 0.5), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, across)).ravel()
    for axes, (name, values) in zip(panels, columns, strict=False):
        bins = _bins(values)
        groups = [("", values)] if told is None else [(cls, values[told == cls]) for cls in names[:_MANY]]
        for (cls, part), colour in zip(groups, _colours(len(groups)), strict=True):
            axes.hist(part, bins, density=True, histtype="stepfilled", alpha=0.35, color=colour, label=_short(cls))
        axes.set_title(name, loc="left", fontsize=9)
        axes.set(yticks=[])
        axes.spines[["top", "right", "left"]].set_visible(False)
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    if told is not None:
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(6, len(names)), frameon=False
        )
    return figure


def learning_curves(
    train_losses: Sequence[float],
    val_losses: Sequence[float] = (),
    train_accuracies: Sequence[float] = (),
    val_accuracies: Sequence[float] = (),
    score: str = "accuracy",
) -> Figure:
    """Draw losses, and accuracies or another score where there are any, by epoch."""
    kinds = [("loss", train_losses, val_losses)]
    if len(train_accuracies) or len(val_accuracies):
        kinds.append((score, train_accuracies, val_accuracies))
    figure = Figure(figsize=(4.6 * len(kinds), 3.4), layout="constrained")
    for axes, (name, train, validation) in zip(np.atleast_1d(figure.subplots(1, len(kinds))), kinds, strict=True):
        for series, label in ((train, "training"), (validation, "evaluation")):
            if len(series):
                axes.plot(range(1, len(series) + 1), series, label=label, marker="o", ms=3)
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure


def save_figure(figure: Figure, path: str | Path | None) -> Figure:
    """Save a figure where a path is given, in the format of its ending; return it."""
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        families = ["DejaVu Sans", *_fonts_of_other_scripts()]
        for text in figure.findobj(Text):
            text.set_fontfamily(families)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # then a box stands for a letter
            figure.savefig(path, dpi=144, facecolor="white", bbox_inches="tight", pad_inches=0.15)
    return figure


@functools.cache
def _fonts_of_other_scripts() -> tuple[str, ...]:
    """Return the fonts of this machine that have letters that matplotlib's own has not."""
    from matplotlib import font_manager

    here = {entry.name for entry in font_manager.fontManager.ttflist}
    return tuple(name for name in _OTHER_SCRIPTS if name in here)


def _bins(values: np.ndarray) -> np.ndarray:
    """Return the edges of 30 bins; values that are all but equal, as norms may be, fill the middle one."""
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-4 * max(abs(low), abs(high)):
        margin = 0.1 * max(abs(low), abs(high)) or 1.0
        low, high = low - margin, high + margin
    return np.linspace(low, high, 31)


def _importance(features: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    if labels is None:
        return features.var(axis=0)
    from sklearn.feature_selection import f_classif

    moving = features.std(axis=0) > 0
    importance = np.full(features.shape[1], -1.0)
    if moving.any():
        with np.errstate(divide="ignore", invalid="ignore"):
            importance[moving] = np.nan_to_num(f_classif(features[:, moving], labels)[0], posinf=np.finfo(float).max)
    return importance


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    palette = colormaps["tab10" if count <= 10 else "tab20"]
    return [palette(number % palette.N) for number in range(count)]


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
