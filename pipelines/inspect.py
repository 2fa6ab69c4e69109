"""`headstart inspect`: look for label errors, duplicates, leaks and outliers in a config's data or a run's."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from extract import Features
from pipelines.config_file import load_config
from pipelines.errors import UsageError
from pipelines.quality import Inspection, Subject, inspect_subject
from pipelines.recall import plain_features

SHOWN = 20
"""Issues that are told; all are in the table."""


def inspect(
    subject: Path, store: str | None = None, table: Path | None = None, similarity: float = 0.97, progress: Any = None
) -> dict[str, Any]:
    """Inspect the data of a config or of a run, and write what was found as a table.

    Parameters
    ----------
    subject
        A config's file, whose missing features are extracted; or a run's folder, of which nothing is.
    store
        Feature store to use instead of the one named there.
    table
        Where to write; by default `inspection.csv` in the run's folder, or `NAME-inspection.csv` here. Parquet by its ending.
    similarity
        From which cosine similarity on samples are near duplicates.
    progress
        Told how extraction goes.

    Returns
    -------
    dict
        What `headstart inspect --json` prints: `samples`, `left_out` (of the samples, those that no head is trained or tested
        on, such as unlabelled ones), `counts` (kind -> issues), `issues` (the gravest of each kind first,
        20 of them), `table`, `notes`, `seconds`.
    """
    began = time.monotonic()
    if not 0 < similarity <= 1:
        raise UsageError(f"--similarity {similarity:g}: a cosine similarity is above 0 and at most 1")
    if subject.is_dir():
        inspection, place = _inspect_run(subject, store, similarity), subject / "inspection.csv"
    else:
        inspection, place = _inspect_config(subject, store, similarity, progress)
    place = table or place
    inspection.write(place)
    shown = [vars(issue) for kind in inspection.counts for issue in [i for i in inspection.issues if i.kind == kind][:SHOWN]]
    return {
        "samples": inspection.samples,
        "left_out": inspection.left_out,
        "counts": inspection.counts,
        "issues": shown,
        "table": str(place),
        "notes": inspection.notes,
        "seconds": round(time.monotonic() - began, 3),
    }


def _inspect_run(run: Path, store: str | None, similarity: float) -> Inspection:
    from pipelines.recall import recall
    from pipelines.report import make_subject, take_excerpt

    found = recall(run, store)
    samples, features, task, note = take_excerpt(found.extraction, found.extraction.features[0], found.task)
    subject = _with_left_out(make_subject(samples, features, found.outputs, task), features, found.outputs)
    inspection = inspect_subject(subject, similarity, seed=found.config.selection.seed, device=found.config.head_device)
    return inspection if note is None else dataclasses.replace(inspection, notes=[note, *inspection.notes])


def _inspect_config(file: Path, store: str | None, similarity: float, progress: Any) -> tuple[Inspection, Path]:
    from pipelines.extract import extract_config
    from pipelines.report import make_subject
    from pipelines.task import make_task

    config = load_config(file)
    if config.data.streams:
        raise UsageError(f"{config.where('data')}: these data are read a slice at a time; train on them, and inspect the run")
    extraction = extract_config(config, store, False, progress)
    features, samples = extraction.features[0], extraction.samples
    outputs = features.outputs[:1]
    if samples.labels is not None and any(label is not None for label in samples.labels):
        subject = _with_left_out(make_subject(samples, features, outputs, make_task(extraction, config)), features, outputs)
    else:
        splits = samples.splits
        parts = np.array(["train" if splits is None else splits[row] or "" for row in features.rows.tolist()], dtype="<U10")
        X = plain_features(features, outputs, features.rows)
        subject = Subject(samples, features.rows, features.keys, X, parts, None)
    if not len(subject.rows):
        raise UsageError(f"{config.where('data')}: no sample can be used, so there is nothing to inspect")
    inspection = inspect_subject(subject, similarity, seed=config.selection.seed, device=config.head_device)
    return inspection, Path(f"{config.name}-inspection.csv")


def _with_left_out(subject: Subject, features: Features, outputs: tuple[str, ...]) -> Subject:
    """Add the samples that have features and are not in the task, since they have no label or no split."""
    rows = np.setdiff1d(features.rows, subject.rows)
    if not len(rows):
        return subject
    return dataclasses.replace(
        subject,
        rows=np.concatenate([subject.rows, rows]),
        keys=np.concatenate([subject.keys, features.keys[np.searchsorted(features.rows, rows)]]),
        X=np.concatenate([subject.X, plain_features(features, outputs, rows)]),
        parts=np.concatenate([subject.parts, np.full(len(rows), "", subject.parts.dtype)]),
    )
