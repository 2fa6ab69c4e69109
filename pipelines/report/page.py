"""`report.html`: one self-contained page about a run. Everything that comes from the data is escaped."""

from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from extract import Samples
from heads import MLPHead, per_class, per_label
from pipelines.combinations import shorten
from pipelines.config import Config
from pipelines.console import describe, seconds
from pipelines.given import show
from pipelines.report.figures import as_data_uri, as_png, confusion_figure, learning_figure, predictions_figure, trials_figure
from pipelines.train import Result

MOST_TRIALS = 25
MOST_MISTAKES = 20
LONGEST_TEXT = 400


def write_report(folder: Path, config: Config, samples: Samples, result: Result, metrics: dict[str, Any]) -> None:
    """Write `figures/*.png` and `report.html` into a run folder.

    Parameters
    ----------
    folder
        The run folder.
    config, samples, result, metrics
        The experiment, its samples, what training gave, and what `metrics.json` holds.
    """
    metric, outcome = config.metric, result.outcome
    drawn = {"trials": trials_figure(result.trials, metric)}
    by_class: list[dict[str, float]] = []
    if config.kind == "classification":
        drawn["confusion_matrix"] = confusion_figure(result.confusion, result.classes)
        by_class = per_class(result.confusion)
    elif config.kind == "multilabel":
        by_class = per_label(outcome.true, outcome.predicted)
    else:
        drawn["predictions"] = predictions_figure(outcome.true, outcome.predicted)
    if isinstance(result.head, MLPHead):
        history = result.head.history_
        drawn["learning_curve"] = learning_figure(history.train_loss, history.validation_loss, history.best_epoch)
    (folder / "figures").mkdir()
    figures = {}
    for name, figure in drawn.items():
        png = as_png(figure)
        (folder / "figures" / f"{name}.png").write_bytes(png)
        figures[name] = as_data_uri(png)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"describe": describe, "seconds": seconds, "shorten": shorten}
    page = templates.get_template("page.html").render(
        config=config,
        metric=metric,
        metrics=metrics,
        selected=result.selected,
        trials=result.trials[:MOST_TRIALS],
        classes=[{"name": n, **row} for n, row in zip(result.classes, by_class, strict=True)],
        mistakes=_mistakes(samples, result),
        figures=figures,
        yaml=config.to_yaml(),
    )
    (folder / "report.html").write_text(page, encoding="utf-8", errors="replace")


def _mistakes(samples: Samples, result: Result) -> list[dict[str, Any]]:
    """Return the worst test predictions: wrong classes by how sure the head was, labels by how many, numbers by error."""
    outcome, names = result.outcome, result.classes
    sureness = None
    if not names:
        badness = np.abs(outcome.predicted - outcome.true)
        true, predicted = ([f"{value:g}" for value in part] for part in (outcome.true, outcome.predicted))
    elif outcome.true.ndim == 2:
        badness = (outcome.predicted != outcome.true).sum(axis=1).astype(float)
        true, predicted = (_listed(part, names) for part in (outcome.true, outcome.predicted))
    else:
        if outcome.probabilities is not None:
            sureness = outcome.probabilities[np.arange(len(outcome.predicted)), outcome.predicted]
        badness = (outcome.predicted != outcome.true) * (1.0 if sureness is None else sureness)
        true, predicted = ([names[code] for code in part] for part in (outcome.true, outcome.predicted))
    worst = [number for number in np.argsort(-badness, kind="stable")[:MOST_MISTAKES].tolist() if badness[number] > 0]
    mistakes = []
    for number in worst:
        row = int(outcome.rows[number])
        text = str(show(samples.inputs[row], samples.ids[row]))
        mistakes.append(
            {
                "id": samples.ids[row],
                "text": text[:LONGEST_TEXT] + ("…" if len(text) > LONGEST_TEXT else ""),
                "true": true[number],
                "predicted": predicted[number],
                "probability": None if sureness is None else float(sureness[number]),
            }
        )
    return mistakes


def _listed(chosen: np.ndarray, names: list[str]) -> list[str]:
    return [", ".join(names[column] for column in np.flatnonzero(row).tolist()) or "none" for row in chosen]
