"""Test a run's heads on labelled samples: new ones, or the run's own test samples once more."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from extract import Samples, load_samples
from extract.sources.columns import split_named
from extract.sources.tabular import as_whole
from heads import confusion_matrix
from pipelines.config import Config
from pipelines.config_file import load_config
from pipelines.errors import RunError, UsageError
from pipelines.extract import columns_of_data, load_data
from pipelines.outcome import Outcome, Truth, answer_test
from pipelines.predict import Predictor, through_store
from pipelines.run import SavedRun, read_run, test_ids
from pipelines.task import left_out, read_targets


def evaluate(
    run: Path, file: Path | None, split: str | None, store: str | None, progress: Any, encoding: str | None = None
) -> dict[str, Any]:
    """Answer for labelled samples and score the answers.

    Parameters
    ----------
    run
        A run folder.
    file
        Where the samples are: a table with the run's columns, or a folder by class; None for the run's own data.
    split
        Only the samples of this split. Without one all that are in a file, or the run's test samples.
    store
        Feature store to use instead of the run's.
    progress
        Told how extraction goes.
    encoding
        Of the file; by default that of the run's data.

    Returns
    -------
    dict
        `run`, `samples`, `skipped` (id and reason), `test` (metric -> value, low, high), `classes`, `confusion` (None but for
        classes), `prediction_sets` where the run gives sets, and `notes`.

    Raises
    ------
    UsageError
        If there are no labels, no such split, or it is no run.
    RunError
        If the run cannot be read, or its backbone has changed.
    """
    if encoding is not None and file is None:
        raise UsageError("--encoding is of a file; name it with --file")
    split = split and (split_named(split) or split)
    saved = read_run(run)
    config = load_config(run / "config.yaml")
    if file is None and split is None:
        ids = test_ids(run)
        samples = load_data(config.data, ids=set(ids))
        rows = rows_of(samples, ids, run)
    else:
        samples = load_data(config.data, split=split) if file is None else _load(file, encoding, config)
        rows = _labelled(samples, split, str(file or config.data.source))
    raw, usable, skipped = Predictor(saved, through_store(run, saved, store, progress)).raw(samples.take(rows.tolist()))
    if raw is None:
        raise RunError(f"{samples.name}: none of {len(rows):,} samples can be used; the first: {skipped[0].reason}")
    truth, notes = _truth(samples, rows[usable], saved, config), []
    unlabelled = [row for row, label in enumerate(samples.labels or ()) if label is None]
    if unlabelled and (lacking := len(np.intersect1d(unlabelled, samples.promising(samples.kind or "text")))):
        notes.append(left_out(lacking, "label", len(samples)))
    decision = saved.decision
    if saved.task == "multilabel" and (unknown := len(truth.names) - raw.shape[1]):  # labels that are never predicted
        raw = np.pad(raw, ((0, 0), (0, unknown)))
        known = decision.thresholds or (0.5,) * (raw.shape[1] - unknown)
        decision = dataclasses.replace(decision, thresholds=(*known, *(np.inf,) * unknown))
    classes, outcome = answer_test(raw, saved.sure, decision, truth, config.selection.seed)
    if file is not None and split is None and _is_own(file, config):
        notes.append("these are the run's own data, most of which it was trained on; without --file its test samples are taken")
    if unseen := classes[len(saved.names) :]:
        are = "1 class was" if len(unseen) == 1 else f"{len(unseen)} classes were"
        notes.append(f"{are} not learnt, which makes mistakes of its samples, such as `{unseen[0]}`")
    return {"run": str(run), "samples": len(usable), "skipped": [{"id": s.id, "reason": s.reason} for s in skipped]} | _told(
        classes, outcome, saved.task, notes
    )


def _load(file: Path, encoding: str | None, config: Config) -> Samples:
    columns = columns_of_data(config.data)
    if columns.label is None and file.is_file():  # a run on a folder has no columns, and a table has to
        columns = dataclasses.replace(columns, label="label")
    return load_samples(file, columns, encoding=encoding or config.data.encoding)


def _is_own(file: Path, config: Config) -> bool:
    return config.data.path is not None and Path(config.data.path).absolute() == file.absolute()


def rows_of(samples: Samples, ids: Sequence[str], run: Path) -> np.ndarray:
    """Return where the samples of some ids are.

    Raises
    ------
    RunError
        If one is not there any more.
    """
    place = {name: row for row, name in enumerate(samples.ids)}
    missing = [name for name in ids if name not in place]
    if missing:
        gone = f"{len(missing):,} of its {len(ids):,} test samples are not in {samples.name} any more, such as {missing[0]}"
        raise RunError(f"{run}: {gone}; name labelled samples with --file")
    return np.array([place[name] for name in ids])


def _labelled(samples: Samples, split: str | None, name: str) -> np.ndarray:
    if samples.labels is None:
        raise UsageError(f"{name}: has no labels; the run's label column is looked for")
    if split is not None and samples.splits is None:
        raise UsageError(f"{name}: has no splits; leave out --split")
    places = samples.splits or [None] * len(samples)
    rows = [row for row, place in enumerate(places) if samples.labels[row] is not None and split in (None, place)]
    if not rows:
        known = ", ".join(sorted({place for place in places if place is not None}))
        raise UsageError(f"{name}: no labelled sample" + (f" is in split `{split}`; splits are {known}" if split else ""))
    return np.array(rows)


def _truth(samples: Samples, rows: np.ndarray, saved: SavedRun, config: Config) -> Truth:
    labels, names = read_targets(samples, rows, config, saved.names if saved.task == "multilabel" else ())
    if saved.task == "classification":  # runs of before have `1.0` for what is now read as `1`
        former = {short: name for name in saved.names if (short := as_whole(name)) not in saved.names}
        labels = np.array([former.get(label, label) for label in labels.tolist()])
    return Truth(saved.task, labels, rows, list(names) if saved.task == "multilabel" else list(saved.names))


def _told(classes: list[str], outcome: Outcome, task: str, notes: list[str]) -> dict[str, Any]:
    confusion = confusion_matrix(outcome.true, outcome.predicted, len(classes)).tolist() if task == "classification" else None
    told: dict[str, Any] = {
        "test": {name: dataclasses.asdict(estimate) for name, estimate in outcome.metrics.items()},
        "classes": classes,
        "confusion": confusion,
        "notes": notes,
    }
    if outcome.coverage is not None:
        told["prediction_sets"] = {"coverage": dataclasses.asdict(outcome.coverage), "size": outcome.size}
    return told
