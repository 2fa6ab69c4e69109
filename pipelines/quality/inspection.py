"""An inspection: everything that is found about a data set's samples, as issues with places and reasons."""

import csv
import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from extract import Samples
from pipelines.errors import UsageError
from pipelines.names import spelled_alike
from pipelines.quality.duplicates import EXACT, SAME_TEXT, Pair, find_pairs
from pipelines.quality.label_errors import HeldOutAnswers, answer_held_out, suspect_labels
from pipelines.quality.neighbours import find_neighbours, outlying
from pipelines.task import Task

KINDS = {
    "label_error": "likely label errors",
    "conflicting_labels": "duplicates with different labels",
    "leak": "test samples that the rest holds too",
    "group_leak": "groups on both sides of the split",
    "exact_duplicate": "exact duplicates",
    "same_text": "same text but for case, spaces, punctuation",
    "near_duplicate": "near duplicates",
    "outlier": "outliers",
}
"""What may be found, and how it is called."""

SURE = 0.9
"""A head that is right more often than this is not warned of."""


@dataclass(frozen=True)
class Subject:
    """What is inspected: samples that have features.

    Attributes
    ----------
    samples
        Of the source.
    rows
        `[n]`, positions in the source.
    keys, X
        Their keys `[n, 16]` and features `[n, d]`.
    parts
        `[n]` of str: `train`, `validation` or `test`; empty where a sample is neither trained on nor tested.
    task
        Of the first rows; None where there are no labels. The rest are samples that take no part in it, such as those that have
        no label: they are looked at for everything that needs none.
    """

    samples: Samples
    rows: np.ndarray
    keys: np.ndarray
    X: np.ndarray
    parts: np.ndarray
    task: Task | None


@dataclass(frozen=True)
class Issue:
    """Something about a sample.

    Attributes
    ----------
    kind
        One of `KINDS`.
    row, id
        Where the sample is in the source.
    score
        From 0 to 1; larger is graver.
    split, label
        The sample's own.
    suggested
        A label that would go better.
    other
        The id of the sample it is like.
    reason
        For a person.
    """

    kind: str
    row: int
    id: str
    score: float
    split: str
    label: str
    suggested: str
    other: str
    reason: str


@dataclass(frozen=True)
class Inspection:
    """The issues, the gravest of each kind first; and what a linear head says of the task's samples held out, if there is one.

    Of the `samples`, `left_out` are not in the task.
    """

    samples: int
    left_out: int
    issues: list[Issue]
    answers: HeldOutAnswers | None
    notes: list[str]

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> how many, for every kind."""
        found = Counter(issue.kind for issue in self.issues)
        return {kind: found[kind] for kind in KINDS}

    def write(self, path: Path) -> None:
        """Write the issues as a table: CSV, or Parquet by the file's ending.

        Raises
        ------
        UsageError
            If the file cannot be written.
        """
        names = [field.name for field in dataclasses.fields(Issue)]
        rows = [[_unicode(value) for value in dataclasses.astuple(issue)] for issue in self.issues]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".parquet":
                import pyarrow as pa
                import pyarrow.parquet as pq

                types = [pa.string(), pa.int64(), pa.string(), pa.float64(), *[pa.string()] * 5]
                columns = zip(*rows, strict=True) if rows else [()] * len(names)
                arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
                pq.write_table(pa.Table.from_arrays(arrays, names), path)
                return
            with open(path, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(names)
                writer.writerows(rows)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error


def inspect_subject(
    subject: Subject,
    similarity: float = 0.97,
    pairs: bool = True,
    labels: bool = True,
    folds: int = 5,
    seed: int = 0,
    device: str = "auto",
) -> Inspection:
    """Look for label errors, duplicates, leaks and outliers.

    Parameters
    ----------
    subject
        What to look at.
    similarity
        Cosine similarity of centred features from which on two samples are near duplicates.
    pairs
        Whether to compare every sample with every other, whose cost grows with the square of their number.
    labels
        Whether to look for label errors.
    folds, seed
        Of the cross-validation behind them.
    device
        Where its heads compute: `auto`, or a torch device.
    """
    notes: list[str] = []
    answers, issues = None, []
    left_out = len(subject.rows) - (0 if subject.task is None else len(subject.task.rows))
    if left_out and subject.task is not None:
        notes.append(f"{left_out:,} samples without a label or a split were looked at for everything that needs none")
    if labels and subject.task is not None:
        try:
            answers = answer_held_out(subject.X[: len(subject.task.rows)], subject.task, folds, seed, device)
            errors = _label_errors(subject, answers)
            issues += errors
            notes += _weak_judge(subject.task, answers) if errors else []
        except ValueError as error:
            notes.append(f"label errors were not looked for: {str(error).splitlines()[0]}")
    neighbours = find_neighbours(subject.X) if pairs else None
    if neighbours is None:
        notes.append("samples were not compared with each other: near duplicates and outliers were not looked for")
    inputs = [subject.samples.inputs[row] for row in subject.rows.tolist()]
    issues += _duplicates(subject, find_pairs(subject.keys, inputs, neighbours, similarity, subject.parts == "test"))
    issues += _group_leaks(subject)
    if neighbours is not None:
        issues += _outliers(subject, neighbours.similarity)
    order = {kind: number for number, kind in enumerate(KINDS)}
    issues.sort(key=lambda issue: (order[issue.kind], -issue.score, issue.row))
    return Inspection(len(subject.rows), left_out, issues, answers, notes)


def _issue(
    subject: Subject, position: int, kind: str, score: float, reason: str, suggested: str = "", other: str = ""
) -> Issue:
    row, samples = int(subject.rows[position]), subject.samples
    label = "" if samples.labels is None else samples.labels[row] or ""
    part = str(subject.parts[position])
    return Issue(kind, row, samples.ids[row], round(score, 4), part, label, suggested, other, reason)


def _label_errors(subject: Subject, answers: HeldOutAnswers) -> list[Issue]:
    if subject.task is None:
        return []
    found = suspect_labels(answers, subject.task)
    return [
        _issue(subject, at, "label_error", doubt, f"a head trained without it says {said}", suggested=said)
        for at, doubt, said in zip(found.positions.tolist(), found.doubt.tolist(), found.suggested, strict=True)
    ]


def _weak_judge(task: Task, answers: HeldOutAnswers) -> list[str]:
    """Tell of a head that is itself often wrong, and so takes many right labels for errors."""
    if task.kind != "classification":
        return []
    if (alike := spelled_alike(task.classes.tolist())) is not None:
        return [f"{alike}, which is behind many of the label errors"]
    said = np.asarray(answers.classes)[answers.values.argmax(axis=1)]
    right = float((said == task.labels).mean())
    if right >= SURE:
        return []
    return [
        f"the head behind the label errors gives {right:.0%} of the samples their label when it has not seen them: "
        "many of what it doubts are mistakes of its own; begin with the gravest"
    ]


def _duplicates(subject: Subject, pairs: list[Pair]) -> list[Issue]:
    how = {EXACT: "the same as", SAME_TEXT: "the same text as"}
    labels, issues, leaked = subject.samples.labels, [], set()
    for pair in pairs:
        first, second = pair.first, pair.second
        sides = {str(subject.parts[first]), str(subject.parts[second])}
        across = "test" in sides and bool(sides & {"train", "validation"})
        if across and subject.parts[first] == "test":
            first, second = second, first
        other = subject.samples.ids[int(subject.rows[first])]
        like = how.get(pair.kind, f"similar ({pair.similarity:.3f}) to")
        if across:
            if second in leaked:
                continue
            leaked.add(second)
            reason = f"{like} {other}, which is in {subject.parts[first]}"
            issues.append(_issue(subject, second, "leak", pair.similarity, reason, other=other))
        else:
            issues.append(_issue(subject, second, pair.kind, pair.similarity, f"{like} {other}", other=other))
        if labels is not None and pair.kind in how:
            own, others = labels[int(subject.rows[second])], labels[int(subject.rows[first])]
            if own is not None and others is not None and own != others:
                reason = f"{like} {other}, which is labelled {others}"
                issues.append(_issue(subject, second, "conflicting_labels", 1.0, reason, suggested=others, other=other))
    return issues


def _group_leaks(subject: Subject) -> list[Issue]:
    groups = subject.samples.groups
    if groups is None:
        return []
    sides: dict[str, dict[bool, list[int]]] = {}
    for position, row in enumerate(subject.rows.tolist()):
        if (name := groups[row]) is not None and subject.parts[position]:
            sides.setdefault(name, {}).setdefault(subject.parts[position] == "test", []).append(position)
    return [
        _issue(subject, at[True][0], "group_leak", len(at[True]) / (len(at[True]) + len(at[False])),
               f"group {name} has {len(at[True]):,} test samples and {len(at[False]):,} others")
        for name, at in sides.items() if len(at) == 2
    ]  # fmt: skip


def _outliers(subject: Subject, similarity: np.ndarray) -> list[Issue]:
    found, distance, _ = outlying(similarity)
    median = 1 - float(np.median(distance))
    return [
        _issue(subject, at, "outlier", min(1.0, float(distance[at])),
               f"its nearest samples have a mean similarity of {1 - distance[at]:.2f}; those of the median sample {median:.2f}")
        for at in found.tolist()
    ]  # fmt: skip


def _unicode(value: Any) -> Any:
    return value.encode("utf-8", errors="replace").decode("utf-8") if isinstance(value, str) else value
