"""Answer for new texts or images with a run's heads, through the feature cache."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from extract import Features, Samples, extract
from pipelines.columns import read_answered
from pipelines.errors import RunError
from pipelines.given import read_given, show
from pipelines.run import SavedMember, SavedRun, read_run


def predict(
    run: Path, texts: Sequence[str] = (), file: Path | None = None, store: str | None = None, progress: Any = None
) -> list[dict[str, Any]]:
    """Answer for every text or image, in order.

    Parameters
    ----------
    run
        A run folder.
    texts, file
        What to answer for: texts, or paths of images and folders of them; or a file (`.txt`: a text a line; CSV, TSV, JSONL,
        Parquet: the run's columns; an image; a folder of images or texts).
    store
        Feature store to use instead of the run's.
    progress
        Told how extraction goes.

    Returns
    -------
    list of dict
        `input`, `label` and `probabilities` (class -> probability; None if the head has none) of every sample. Where one may
        have several labels, `label` is a list; where numbers are predicted, a number. With prediction sets, `set` is the
        classes in it, or `interval` the ends. For one that cannot be used, `label` is None and `reason` says why.

    Raises
    ------
    RunError
        If the run cannot be read or its backbone is no longer what the head was trained on.
    """
    saved = read_run(run)
    samples = read_given(texts, file, saved.columns)
    features = [_features(run, saved, member, samples, store or saved.store, progress) for member in saved.members]
    predictions: list[dict[str, Any]] = [
        {"input": show(sample, place), "label": None, "probabilities": None}
        for sample, place in zip(samples.inputs, samples.ids, strict=True)
    ]
    for skipped in (skipped for found in features for skipped in found.skipped):
        predictions[skipped.row]["reason"] = skipped.reason
    rows = features[0].rows
    for found in features[1:]:
        rows = np.intersect1d(rows, found.rows)
    if len(rows):
        for row, answer in zip(rows.tolist(), _answer(saved, features, rows), strict=True):
            predictions[row] |= answer
    return predictions


def _features(run: Path, saved: SavedRun, member: SavedMember, samples: Samples, store: str, progress: Any) -> Features:
    spec = member.backbone
    if spec.views is not None and not member.averages:  # an answer is for the plain image
        spec = dataclasses.replace(spec, views=dataclasses.replace(spec.views, count=0))
    found = extract(samples, spec, store, list(member.outputs), device=saved.device, keep_table=False, progress=progress)
    if found.recipe.id != member.recipe:
        raise RunError(
            f"{run}: its head expects features of recipe {member.recipe[:12]}, and {member.backbone.backbone} now gives "
            f"{found.recipe.id[:12]}: weights, settings or precision have changed; train again"
        )
    return found


def _answer(saved: SavedRun, features: Sequence[Features], rows: np.ndarray) -> list[dict[str, Any]]:
    """Return what is said of every usable sample: the heads' mean, made an answer by the run's decision."""
    from heads import class_probabilities, gives_probabilities, label_probabilities, mean_prediction

    raw = []
    for member, found in zip(saved.members, features, strict=True):
        X, _ = read_answered(found, member.outputs, rows, member.averages)
        if saved.task == "classification":
            raw.append(class_probabilities(member.head, X, saved.names))
        else:
            raw.append(label_probabilities(member.head, X) if saved.names else np.asarray(member.head.predict(X), dtype=float))
    mean = mean_prediction(raw, np.array([member.weight for member in saved.members]))
    sure = len(saved.members) > 1 or gives_probabilities(saved.members[0].head)
    decision, names = saved.decision, saved.names
    if saved.task == "regression":
        ends = None if decision.intervals is None else np.stack(decision.intervals.intervals(mean), axis=1)
        return [
            {"label": value} | ({} if ends is None else {"interval": ends[number].tolist()})
            for number, value in enumerate(mean.tolist())
        ]
    if saved.task == "multilabel":
        probabilities = decision.label_probabilities(mean)
        labels: list[Any] = [_chosen(row, names) for row in decision.labels(probabilities)]
        sets = None
    else:
        probabilities = decision.class_probabilities(mean)
        labels = [names[code] for code in decision.classes(probabilities).tolist()]
        sets = None if decision.sets is None else [_chosen(row, names) for row in decision.sets.sets(probabilities)]
    return [
        {"label": label, "probabilities": dict(zip(names, row, strict=True)) if sure else None}
        | ({} if sets is None else {"set": sets[number]})
        for number, (label, row) in enumerate(zip(labels, probabilities.tolist(), strict=True))
    ]


def _chosen(row: np.ndarray, names: Sequence[str]) -> list[str]:
    return [names[column] for column in np.flatnonzero(row).tolist()]
