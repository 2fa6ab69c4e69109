"""Pictures of a run, drawn by matplotlib without a display."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from heads.trained import TrainedHead
from pipelines.config import Config
from pipelines.feature_figures import save_figure
from pipelines.train import Result
from pipelines.trials import Trial

_INK, _ACCENT = "#1f2430", "#2f6fdb"


def confusion_figure(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix `[c, c]`: shares of each true class as shade, counts as numbers."""
    side = min(max(3.2, 0.75 * len(classes) + 1.8), 14)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.add_subplot()
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label="share of the true class")
    names = [_short(name) for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if len(classes) <= 25:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.55 else _INK
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=9)
    return figure


def predictions_figure(true: np.ndarray, predicted: np.ndarray) -> Figure:
    """Draw predicted against true numbers `[t]`."""
    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    axes = figure.add_subplot()
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    axes.plot(ends, ends, color=_ACCENT, lw=1, ls=":", label="equal")
    axes.scatter(true, predicted, s=9, alpha=0.5, color=_INK, linewidths=0)
    axes.set(xlabel="true", ylabel="predicted")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def trials_figure(trials: Sequence[Trial], metric: str) -> Figure:
    """Draw every trial's validation score with its spread over the folds, best first."""
    scores = [trial.scores[metric] for trial in trials if np.isfinite(trial.scores[metric].mean)]
    heads = [trial.head.rpartition(".")[2] for trial in trials if np.isfinite(trial.scores[metric].mean)]
    figure = Figure(figsize=(7.6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for number, head in enumerate(dict.fromkeys(heads)):
        ranks = [rank for rank, name in enumerate(heads) if name == head]
        means, deviations = [scores[rank].mean for rank in ranks], [scores[rank].deviation for rank in ranks]
        axes.errorbar([r + 1 for r in ranks], means, deviations, fmt="o", ms=4, lw=1, color=f"C{number}", label=head)
    axes.set(xlabel="trial, by rank", ylabel=f"validation {metric}")
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def learning_figure(train_loss: Sequence[float], validation_loss: Sequence[float], best_epoch: int) -> Figure:
    """Draw losses by epoch and mark the epoch whose weights were kept."""
    figure = Figure(figsize=(7.6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(1, len(train_loss) + 1), train_loss, label="training")
    if validation_loss:
        axes.plot(range(1, len(validation_loss) + 1), validation_loss, label="held out")
        axes.axvline(best_epoch + 1, color=_ACCENT, lw=1, ls=":", label="weights kept")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def write_figures(folder: Path, config: Config, result: Result) -> None:
    """Write `figures/*.png` of a run."""
    outcome = result.outcome
    drawn = {"trials": trials_figure(result.trials, config.metric)}
    if config.kind == "classification":
        drawn["confusion_matrix"] = confusion_figure(result.confusion, result.classes)
    elif config.kind == "regression":
        drawn["predictions"] = predictions_figure(outcome.true, outcome.predicted)
    if isinstance(result.head, TrainedHead):
        history = result.head.history_
        drawn["learning_curve"] = learning_figure(history.train_loss, history.validation_loss, history.best_epoch)
    for name, figure in drawn.items():
        save_figure(figure, folder / "figures" / f"{name}.png")


def as_pixels(figure: Figure) -> np.ndarray:
    """Return a figure's pixels `[h, w, 3]` uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"
