"""The map of samples: where each is on a plane, what is known of it, its text or picture, as data for the page's script."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from pipelines.projection import METHODS, project
from pipelines.quality import KINDS, Inspection, Subject
from pipelines.report.embedding import as_json, cut, pack_codes, pack_shares, pack_unit, shown_text, thumbnails
from pipelines.report.record import Record

MOST_CATEGORIES = 20_000
_LENGTHS = ((5_000, 400), (30_000, 160), (np.inf, 100))
_ABSENT = "—"
"""Shown where something is not known; the page's script leaves it out."""

_Answer = str | tuple[str, ...] | None


@dataclass(frozen=True)
class Effort:
    """How much a report may cost.

    Attributes
    ----------
    points
        Samples on the map at most: all test samples first, then others at random.
    arranged
        How many of them t-SNE and UMAP arrange themselves.
    methods
        Projections.
    picture_seconds
        How long small pictures are made for the map.
    """

    points: int = 100_000
    arranged: int = 5000
    methods: tuple[str, ...] = METHODS
    picture_seconds: float = 60.0


QUICK = Effort(points=30_000, arranged=1200, methods=("pca", "tsne"), picture_seconds=5.0)
"""What `train` spends; `report` makes the whole."""


@dataclass(frozen=True)
class SampleMap:
    """The map's data and words."""

    json: Markup
    lead: str
    caption: str


def make_map(record: Record, subject: Subject, inspection: Inspection | None, effort: Effort) -> SampleMap:
    """Make the map of a run's samples."""
    chosen = _choose(subject, effort.points)
    rows = subject.rows[chosen]
    longest = next(length for most, length in _LENGTHS if len(chosen) <= most)
    texts = [shown_text(subject.samples, row, int(longest)) for row in rows.tolist()]
    pictures = thumbnails(subject.samples, rows.tolist(), 72, effort.picture_seconds)
    content = {
        "count": len(chosen),
        "projections": [
            {"key": p.key, "title": p.title, "note": p.note, "x": pack_unit(p.points[:, 0]), "y": pack_unit(1 - p.points[:, 1])}
            for p in project(subject.X[chosen], effort.methods, effort.arranged)
        ],
        "columns": _columns(record, subject, inspection, chosen),
        "ids": [cut(subject.samples.ids[row], 200) for row in rows.tolist()],
        "texts": texts,
        "pictures": {str(number): pictures[row] for number, row in enumerate(rows.tolist()) if row in pictures},
    }
    whole = (
        f"All {len(chosen):,} samples"
        if len(chosen) == len(subject.rows)
        else f"{len(chosen):,} of {len(subject.rows):,} samples"
    )
    lead = f"{whole}, near each other where the backbone finds them alike."
    caption = "" if subject.samples.kind == "image" else f"Texts are cut to {longest} characters."
    if inspection is not None and inspection.answers is not None:
        caption += " Answers for samples that are not test are those of a linear head trained without them."
    if pictures:
        caption = f"{len(pictures):,} samples have a picture here. " + caption
    return SampleMap(as_json(content), lead, caption)


def _choose(subject: Subject, most: int) -> np.ndarray:
    """Return the positions of the samples on the map, in an order at random so that none lies on top for where it stood."""
    order = np.random.default_rng(0).permutation(len(subject.rows))
    if len(order) <= most:
        return order
    is_test = subject.parts[order] == "test"
    return np.concatenate([order[is_test], order[~is_test]])[:most]


def _columns(record: Record, subject: Subject, inspection: Inspection | None, chosen: np.ndarray) -> list[dict[str, Any]]:
    """Return what points can be coloured by."""
    rows, samples = subject.rows[chosen].tolist(), subject.samples
    known: list[_Answer] = [None if samples.labels is None else samples.labels[row] or None for row in rows]
    if record.kind == "multilabel" and subject.task is not None:
        known = [_held(subject.task.labels[position], subject.task.names) for position in chosen]
    said, sure = _answers(record, subject, inspection, chosen)
    labels, answers = [_told(label) for label in known], [_told(answer) for answer in said]
    if record.kind == "regression":
        columns = [_numbers("label", "label", _floats(labels)), _numbers("predicted", "prediction", _floats(answers))]
        errors = np.abs(_floats(labels) - _floats(answers))
        columns.append(_numbers("error", "error", errors))
    else:
        right = [_ABSENT if answer is None or label is None else "right" if answer == label else "wrong"
                 for answer, label in zip(said, known, strict=True)]  # fmt: skip
        columns = [_categories("label", "label", labels), _categories("predicted", "prediction", answers),
                   _categories("answer", "right or wrong", right)]  # fmt: skip
        if np.isfinite(sure).any():
            columns.append(_numbers("sure", "probability", sure))
    columns.append(_categories("split", "split", [str(part) for part in subject.parts[chosen]]))
    if samples.groups is not None:
        columns.append(_categories("group", "group", [samples.groups[row] or _ABSENT for row in rows]))
    if inspection is not None and inspection.issues:
        first: dict[int, str] = {}
        for issue in inspection.issues:
            first.setdefault(issue.row, KINDS[issue.kind])
        columns.append(_categories("quality", "data quality", [first.get(row, _ABSENT) for row in rows]))
    return columns


def _answers(
    record: Record, subject: Subject, inspection: Inspection | None, chosen: np.ndarray
) -> tuple[list[_Answer], np.ndarray]:
    """Return what was said of every sample, and how sure: by the run of test samples, held out of others; None if nothing."""
    said: list[_Answer] = [None] * len(subject.rows)
    sure = np.full(len(subject.rows), np.nan)
    if inspection is not None and inspection.answers is not None:
        values, classes = inspection.answers.values, inspection.answers.classes
        if classes:
            said[:], sure[:] = [str(classes[code]) for code in values.argmax(axis=1).tolist()], values.max(axis=1)
        elif values.ndim == 2 and subject.task is not None:
            said[:] = [_held(row >= 0.5, subject.task.names) for row in values]
        else:
            said[:] = [f"{value:.6g}" for value in values]
    place = {subject.samples.ids[row]: position for position, row in enumerate(subject.rows.tolist())}
    sureness = record.predictions.sureness
    for number, (name, answer) in enumerate(zip(record.predictions.ids, record.predictions.predicted, strict=True)):
        position = place.get(name)
        if position is not None:
            said[position] = tuple(answer) if isinstance(answer, list) else str(answer)
            sure[position] = np.nan if sureness is None else sureness[number]
    return [said[position] for position in chosen.tolist()], sure[chosen]


def _held(row: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name, holds in zip(names, row, strict=True) if holds)


def _told(answer: _Answer) -> str:
    if answer is None:
        return _ABSENT
    return answer if isinstance(answer, str) else ", ".join(answer) or "none"


def _categories(key: str, title: str, values: Sequence[str]) -> dict[str, Any]:
    names, codes = np.unique(np.array([cut(value, 80) for value in values], dtype=object).astype(str), return_inverse=True)
    if len(names) > MOST_CATEGORIES:
        frequent = np.argsort(-np.bincount(codes), kind="stable")[: MOST_CATEGORIES - 1]
        lookup = np.full(len(names), MOST_CATEGORIES - 1)
        lookup[frequent] = np.arange(len(frequent))
        names, codes = np.append(names[frequent], "all others"), lookup[codes]
    return {"key": key, "title": title, "kind": "category", "names": names.tolist(), "codes": pack_codes(codes)}


def _numbers(key: str, title: str, values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    scaled = np.where(np.isfinite(values), (values - low) / ((high - low) or 1), np.nan)
    ends = {"low": f"{low:.3g}", "high": f"{high:.3g}", "from": low, "to": high}
    return {"key": key, "title": title, "kind": "number", "values": pack_shares(scaled), **ends}


def _floats(values: Sequence[str]) -> np.ndarray:
    def number(value: str) -> float:
        try:
            return float(value)
        except ValueError:
            return float("nan")

    return np.array([number(value) for value in values])
