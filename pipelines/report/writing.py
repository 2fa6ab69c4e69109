"""Writing reports: while a run is written, with what is in memory; and anew, from the run's folder, data and store."""

from pathlib import Path

import numpy as np

from cache import HeadstartError
from extract import Features, Samples
from pipelines.config import Config
from pipelines.extract import Extraction
from pipelines.quality import Inspection, Subject, inspect_subject
from pipelines.recall import plain_features, read_config, recall
from pipelines.report.excerpt import take_excerpt
from pipelines.report.page import render
from pipelines.report.record import read_record
from pipelines.report.sample_map import QUICK, Effort
from pipelines.runs import check_holds
from pipelines.task import Task

PAIRS_AT_MOST = 30_000
FITTED_AT_MOST = 100_000_000
"""While a run is written, more samples than that are not compared with each other, and label errors not looked for where
samples times features times classes are more."""


def make_subject(samples: Samples, features: Features, outputs: tuple[str, ...], task: Task) -> Subject:
    """Put together what is looked at: the task's samples, with the features that the winner was trained on."""
    parts = np.where(task.test, "test", "train").astype("<U10")
    if task.validation is not None:
        parts[task.validation] = "validation"
    keys = features.keys[np.searchsorted(features.rows, task.rows)]
    return Subject(samples, task.rows, keys, plain_features(features, outputs, task.rows), parts, task)


def write_report(
    folder: Path, config: Config, extraction: Extraction, task: Task, recipe: str, outputs: tuple[str, ...]
) -> None:
    """Write `report.html` into a run folder that holds everything else.

    Parameters
    ----------
    folder
        The run folder.
    config, extraction, task
        The experiment.
    recipe, outputs
        What the winner was trained on.
    """
    features = next(features for features in extraction.features if features.recipe.id == recipe)
    samples, features, task, note = take_excerpt(extraction, features, task)
    subject = make_subject(samples, features, outputs, task)
    classes = len(task.classes) if task.labels.ndim == 1 else task.labels.shape[1]
    inspection = inspect_subject(
        subject,
        pairs=len(task.rows) <= PAIRS_AT_MOST,
        labels=subject.X.size * (1 if task.kind == "regression" else classes) <= FITTED_AT_MOST,
        seed=config.selection.seed,
        device=config.head_device,
    )
    _write(folder, config, subject, inspection, QUICK, [] if note is None else [note])


def rebuild_report(folder: Path, store: str | None = None, effort: Effort | None = None) -> list[str]:
    """Write `report.html` of a run anew, with everything that its folder, its data and its store still hold.

    Parameters
    ----------
    folder
        The run folder.
    store
        Feature store to use instead of the run's.
    effort
        How much the map may cost.

    Returns
    -------
    list of str
        What is missing from the report, a line each.

    Raises
    ------
    UsageError
        If the folder is no run, or a pulled head.
    RunError
        If it cannot be read or written.
    """
    check_holds(folder, ["trials.parquet", "test_predictions.parquet"])
    config = read_config(folder)
    try:
        recalled = recall(folder, store)
        samples, features, task, note = take_excerpt(recalled.extraction, recalled.extraction.features[0], recalled.task)
        subject = make_subject(samples, features, recalled.outputs, task)
        inspection = inspect_subject(subject, seed=config.selection.seed, device=config.head_device)
    except HeadstartError as error:
        missing = [f"the samples and their features are not here, so there are no texts and no map: {error}"]
        _write(folder, config, None, None, effort or Effort(), missing)
        return missing
    _write(folder, config, subject, inspection, effort or Effort(), [] if note is None else [note])
    return []


def _write(
    folder: Path, config: Config, subject: Subject | None, inspection: Inspection | None, effort: Effort, notes: list[str]
) -> None:
    from pipelines.errors import RunError

    record = read_record(folder, config.name, config.metric, config.kind)
    page = render(record, subject, inspection, effort, notes)
    try:
        (folder / "report.html").write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise RunError(f"{folder / 'report.html'}: cannot be written: {error.strerror or error}") from error
