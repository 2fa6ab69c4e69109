"""`report.html`: one self-contained page about a run. Everything that comes from the data is escaped."""

from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from extract import Samples
from heads import MLPHead, per_class
from pipelines.config import Config
from pipelines.console import describe, seconds
from pipelines.report.figures import as_data_uri, as_png, confusion_figure, learning_figure, trials_figure
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
    metric = config.selection.metric
    drawn = {
        "confusion_matrix": confusion_figure(result.confusion, result.classes),
        "trials": trials_figure(result.trials, metric),
    }
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
    templates.filters |= {"describe": describe, "seconds": seconds}
    page = templates.get_template("page.html").render(
        config=config,
        metric=metric,
        metrics=metrics,
        trials=result.trials[:MOST_TRIALS],
        classes=[{"name": n, **row} for n, row in zip(result.classes, per_class(result.confusion), strict=True)],
        mistakes=_mistakes(samples, result),
        figures=figures,
        yaml=config.to_yaml(),
    )
    (folder / "report.html").write_text(page, encoding="utf-8", errors="replace")


def _mistakes(samples: Samples, result: Result) -> list[dict[str, Any]]:
    """Return the wrong test predictions that the head was surest of."""
    wrong = np.flatnonzero(result.true != result.predicted)
    if result.probabilities is not None:
        wrong = wrong[np.argsort(-result.probabilities[wrong, result.predicted[wrong]], kind="stable")]
    mistakes = []
    for number in wrong[:MOST_MISTAKES].tolist():
        row = int(result.rows[number])
        text = str(samples.inputs[row])
        sure = None if result.probabilities is None else float(result.probabilities[number, result.predicted[number]])
        mistakes.append(
            {
                "id": samples.ids[row],
                "text": text[:LONGEST_TEXT] + ("…" if len(text) > LONGEST_TEXT else ""),
                "true": result.classes[result.true[number]],
                "predicted": result.classes[result.predicted[number]],
                "probability": sure,
            }
        )
    return mistakes
