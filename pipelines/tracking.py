"""What is told to trackers: of a trainer's phases, and of an experiment."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from pipelines.feature_figures import learning_curves
from pipelines.models.model_features import logits_of
from pipelines.models.objectives import Classes
from pipelines.report.figures import confusion_figure
from pipelines.trackers import TrackerName, make_tracker

if TYPE_CHECKING:
    from pipelines.experiment import Experiment
    from pipelines.models.trainer import FeatureBasedTrainer

MOST_EMBEDDED = 2000
"""Samples whose features are kept for looking at."""


def track_phase(trainer: "FeatureBasedTrainer") -> None:
    """Tell a trainer's trackers how a phase ended: curves, metrics and confusions on the evaluation data, features."""
    from heads import confusion_matrix

    history, model = trainer.history, trainer.model
    given = trainer.eval_data or trainer.train_data
    features = trainer.features(given)
    kept = given.take(features.rows)
    labels = list(kept.labels or ())
    series = history.train_loss, history.validation_loss, history.train_score, history.validation_score
    figures = {"learning_curves": learning_curves(*series, score=history.metric)}
    metrics: dict[str, float] = {"seconds": trainer.cost.seconds, "peak_memory_bytes": float(trainer.cost.peak_bytes)}
    if trainer.eval_data is not None:
        metrics |= {f"evaluation/{name}": found.value for name, found in trainer.evaluate().items()}
        objective = model.objective
        if isinstance(objective, Classes):
            predicted = objective.predictions(logits_of(model, features)).argmax(axis=1)
            counts = confusion_matrix(objective.encode(labels, kept.samples.ids), predicted, len(objective.names))
            figures["confusion_matrix"] = confusion_figure(counts, [str(name) for name in objective.names])
    for tracker in trainer.trackers:
        tracker.summary(metrics)
        for name, figure in figures.items():
            tracker.figure(name, figure)
        if isinstance(features.values, np.ndarray):
            tracker.embedding("features", *_some(features.values, labels))
        tracker.finish()


def track_experiment(experiment: "Experiment", names: Sequence[TrackerName]) -> None:
    """Tell trackers of an experiment: config, trials by rank, the winner's learning curve, test metrics, figures, features."""
    folder = Path(experiment.metrics["run"])
    for name in names:
        tracker = make_tracker(name, folder)
        tracker.config(experiment.config.model_dump(mode="json"))
        for rank, trial in enumerate(experiment.result.trials, 1):
            told = {f"trials/{metric}": score.mean for metric, score in trial.scores.items() if np.isfinite(score.mean)}
            tracker.scalars(told | {"trials/fit_seconds": trial.fit_seconds}, rank)
        for number, member in enumerate(experiment.result.members, 1):
            for epoch, told in enumerate(_curves(member.head)):
                tracker.scalars({f"head_{number}/{series}": value for series, value in told.items()}, epoch)
        tracker.summary({f"test/{metric}": found["value"] for metric, found in experiment.metrics["test"].items()})
        for picture in sorted((folder / "figures").glob("*.png")):
            tracker.figure(f"figures/{picture.stem}", picture)
        features, labels = _tested(experiment)
        if isinstance(features, np.ndarray):
            tracker.embedding("features", *_some(features, labels))
        tracker.finish()


def _curves(head: BaseEstimator) -> list[dict[str, float]]:
    history: Any = getattr(head, "history_", None)
    if history is None:
        return []
    series = {"train_loss": history.train_loss, "validation_loss": history.validation_loss, "lr": history.lr}
    return [{name: values[epoch] for name, values in series.items() if values} for epoch in range(len(history.train_loss))]


def _tested(experiment: "Experiment") -> tuple[Any, list[str]]:
    """Return the winner's features of the test samples, and their labels."""
    from pipelines.columns import read_columns

    result, outcome = experiment.result, experiment.result.outcome
    found = next(features for features in experiment.extraction.features if features.recipe.id == result.selected.recipe)
    X = read_columns(found, result.selected.outputs, outcome.rows, experiment.extraction.views.get(found.recipe.id)).X
    if not result.classes:
        return X, [f"{value:g}" for value in outcome.true.tolist()]
    if outcome.true.ndim == 2:
        return X, [json.dumps([result.classes[code] for code in np.flatnonzero(row)]) for row in outcome.true]
    return X, [result.classes[code] for code in outcome.true.tolist()]


def _some(features: np.ndarray, labels: Sequence[Any]) -> tuple[np.ndarray, list[Any]]:
    """Return as many samples as are worth keeping, evenly over all."""
    rows = np.unique(np.linspace(0, len(features) - 1, min(len(features), MOST_EMBEDDED)).astype(int))
    return features[rows], [labels[row] for row in rows.tolist()]
