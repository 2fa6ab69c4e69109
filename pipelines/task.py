"""The task in a data set: which samples train, validate and test, their targets, and what was left out and why."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache import Names
from cache.keys import sortable
from extract import LABEL_SEPARATOR, Samples
from extract.sources.columns import DECIMAL_COMMA, split_labels
from heads import choose_splitter, hold_out
from pipelines.config import Config
from pipelines.errors import TrainingError
from pipelines.extract import Extraction, Prospect
from pipelines.names import spelled_alike

SMALL_CLASS = 5
MANY_NUMBERS = 20
"""Classes that are fractions of which it is said that they may be measured."""

MANY_LABELS = 20_000
"""Labels of a slice of which some would be the same if they were classes."""


@dataclass(frozen=True)
class Task:
    """A data set made ready for training.

    Attributes
    ----------
    kind
        `classification`, `multilabel` or `regression`.
    rows
        `[n]`, positions in the source of the samples that take part.
    labels
        `[n]` of str; for several labels a sample `[n, k]` of 0 and 1; for numbers `[n]` of float.
    names
        The labels' names `[k]` where there are several a sample, else none.
    groups
        `[n]` of str, or None.
    validation, test
        Masks `[n]`; the rest trains. `validation` is None where trials are cross-validated.
    notes
        What the user should know about the data, a line each.
    """

    kind: str
    rows: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    groups: np.ndarray | None
    validation: np.ndarray | None
    test: np.ndarray
    notes: list[str]

    @property
    def development(self) -> np.ndarray:
        """Positions `[m]` within the task of all samples that are not test: trials are chosen on these."""
        return np.flatnonzero(~self.test)

    @property
    def classes(self) -> np.ndarray:
        """The classes that can be learnt, sorted."""
        return np.unique(self.labels[~self.test])

    def folds(self, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (train, validation) positions within `development`: the validation split, or so many folds."""
        chosen = self.development
        groups = None if self.groups is None else self.groups[chosen]
        return list(self.splitter(folds, seed).split(chosen, self.labels[chosen], groups))

    def splitter(self, folds: int, seed: int) -> Any:
        """Return what splits `development`; raises ValueError where there are too few samples or groups for so many folds."""
        chosen = self.development
        groups = None if self.groups is None else self.groups[chosen]
        validation = None if self.validation is None else self.validation[chosen]
        return choose_splitter(self.labels[chosen], groups, validation, folds, seed)

    def within(self, rows: np.ndarray, test: np.ndarray) -> "Task":
        """Return the task of some samples alone, cross-validated: positions `rows [m]` and their test mask `[m]`."""
        return dataclasses.replace(
            self,
            rows=self.rows[rows],
            labels=self.labels[rows],
            groups=None if self.groups is None else self.groups[rows],
            validation=None,
            test=test,
        )


def make_task(extraction: Extraction, config: Config) -> Task:
    """Find the samples that can take part and split them as the data say, or by a held-out part.

    Raises
    ------
    TrainingError
        If there is nothing to train on: no labels, no training samples, a single class.
    """
    rows = extraction.features[0].rows
    for features in extraction.features[1:]:
        rows = np.intersect1d(rows, features.rows)
    task = task_of_samples(extraction.samples, rows, extraction.features[0].samples, config)
    if twins := _count_twins(extraction, task):
        found = f"{twins:,} of {int(task.test.sum()):,} test samples {'is' if twins == 1 else 'are'}"
        task.notes.append(f"{found} also among those to train on; `headstart inspect` lists them")
    return task


def task_of_samples(samples: Samples, rows: np.ndarray, read: int, config: Config) -> Task:
    """Split samples as the data say, or by a held-out part.

    Parameters
    ----------
    samples
        What the source gave.
    rows
        `[m]`, those of them that can be used.
    read
        How many the source has.

    Raises
    ------
    TrainingError
        As `make_task` does.
    """
    notes: list[str] = []
    if samples.labels is None:
        raise TrainingError(f"{config.where('data')}: training needs a label column; name it as `data.label`")
    labelled = rows[Names.of(samples.labels).known[rows]]
    if unlabelled := len(rows) - len(labelled):
        notes.append(left_out(unlabelled, "label"))
    splits = None if samples.splits is None else Names.of(samples.splits)
    placed = labelled if splits is None else labelled[splits.known[labelled]]
    if unplaced := len(labelled) - len(placed):
        notes.append(left_out(unplaced, "split"))
    if not len(placed):
        if not read:
            raise TrainingError(f"{samples.name}: holds no samples")
        raise TrainingError(_nothing_labelled(samples, rows, read, config))
    labels, names = read_targets(samples, placed, config)
    groups = None if samples.groups is None else _groups(Names.of(samples.groups), placed)
    parts = np.full(len(placed), "train") if splits is None else splits.at(placed)
    test, validation = parts == "test", parts == "validation"
    if not test.any():
        test = _hold_out(labels, groups, ~validation, config, notes)
    task = Task(
        config.kind, placed, labels, names, groups, validation if validation.any() else None, test, notes
    )  # fmt: skip
    {"classification": _check_classes, "multilabel": _check_labels, "regression": _check_numbers}[task.kind](task, samples.name)
    return task


def check_samples(config: Config, found: Prospect) -> Task | None:
    """See that samples can be trained on, before anything is extracted; of a stream nothing is known yet.

    A label that is no number does not matter at an image that cannot be read, so one alone is not told yet. Returns the task
    as it is if every image can be read.

    Raises
    ------
    TrainingError
        As `make_task` does.
    """
    if found.samples is None:
        return None
    rows = found.rows
    if config.kind == "regression" and not found.are_texts and found.samples.labels is not None:
        numbers = [_number(str(found.samples.labels[row])) is not None for row in rows.tolist()]
        rows = rows[numbers] if any(numbers) else rows
    return task_of_samples(found.samples, rows, len(found.samples), config)


def check_slice(kind: str, samples: Samples) -> None:
    """See that the labels of a stream's slice can be learnt, as far as a slice tells.

    Parameters
    ----------
    kind
        Of the task.
    samples
        The slice.

    Raises
    ------
    TrainingError
        If a text's label is no number, or of many labels no two are the same.
    """
    if samples.labels is None:
        return
    if kind == "regression" and samples.kind == "text":
        odd = [row for row, label in enumerate(samples.labels) if label is not None and _number(str(label)) is None]
        if odd and len(usable := np.intersect1d(odd, _taking_part(samples))):
            row = int(usable[0])
            raise TrainingError(_no_number(samples.ids[row], str(samples.labels[row])))
    if kind == "classification" and len(set(samples.labels)) >= MANY_LABELS:  # of fewer, some are the same
        labels = [label for row in _taking_part(samples).tolist() if (label := samples.labels[row]) is not None]
        if len(set(labels)) == len(labels) >= MANY_LABELS:
            raise TrainingError(_no_classes(samples.name, len(labels), len(labels)))


def _taking_part(samples: Samples) -> np.ndarray:
    """Return the rows `[m]` of samples that look usable, and whose split is known where there are splits."""
    rows = samples.promising(samples.kind or "text")
    return rows if samples.splits is None else rows[Names.of(samples.splits).known[rows]]


def _no_number(place: str, label: str) -> str:
    way = "write decimals with a point" if DECIMAL_COMMA.fullmatch(label) else "leave the cell empty, or `task` out for classes"
    return f"{place}: the label `{label[:40]}` is no number, as `task: regression` needs; {way}"


def _no_classes(name: str, different: int, samples: int) -> str:
    what = f"{different:,} different values in {samples:,} training samples"
    return f"{name}: the label column holds {what}; is it a number (then say `task: regression`), a text or an id?"


def read_targets(
    samples: Samples, rows: np.ndarray, config: Config, known: Sequence[str] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the targets of some labelled samples `[m]`, and the labels' names where there are several a sample.

    Names that are `known` come first; others, which the data have besides, after them.

    Raises
    ------
    TrainingError
        If a number is none, or what is said of several labels does not go with what is there.
    """
    column = Names.of(samples.labels or ())
    lists = any(LABEL_SEPARATOR in name for name in column.names.tolist())
    if config.kind == "classification":
        if lists:
            raise TrainingError(
                f"{config.where('data', 'label')}: `{config.data.label}` holds lists, several labels a sample; "
                "say so with `multilabel: true` beside it"
            )
        return column.at(rows), ()
    used, which = np.unique(column.codes[rows], return_inverse=True)
    values = column.names[used].tolist()
    if config.kind == "regression":
        numbers = [_number(value) for value in values]
        if None in numbers:
            bad = numbers.index(None)
            place = samples.ids[int(rows[(which == bad).argmax()])]
            raise TrainingError(_no_number(place, values[bad]))
        return np.array(numbers, float)[which], ()
    between = config.data.multilabel
    if not known and (wrong := _other_form(between, lists, "" in column.names)):
        raise TrainingError(f"{config.where('data', 'multilabel')}: `{config.data.label}` {wrong}")
    several = [set(split_labels(value, between if isinstance(between, str) else None)) for value in values]
    found = config.data.label if isinstance(config.data.label, list) else sorted(set().union(*several))
    names = tuple(dict.fromkeys([*known, *found]))
    place_of = {name: number for number, name in enumerate(names)}
    table = np.zeros((len(values), len(names)), int)
    for number, labels in enumerate(several):
        table[number, [place_of[name] for name in labels]] = 1
    return table[which], names


def _other_form(multilabel: bool | str | None, lists: bool, empty: bool) -> str | None:
    """Say that several labels stand in a column in another form than is told; None where they do not."""
    if isinstance(multilabel, str) and lists:
        return "holds lists, whose names are not to be taken apart; say `multilabel: true`"
    if multilabel is True and not lists and not empty:
        return (
            "holds no lists of several labels; name what stands between a text's labels, such as `multilabel: ';'`, "
            "or leave it out for classes"
        )
    return None


def _nothing_labelled(samples: Samples, usable: np.ndarray, read: int, config: Config) -> str:
    lost = np.setdiff1d(np.arange(len(samples)), usable)[:1].tolist()
    skipped = samples.take(lost).admit(samples.kind or "text").skipped
    if not len(usable):
        return f"{samples.name}: none of {read:,} samples can be used" + (
            f"; the first: {skipped[0].reason}" if skipped else ""
        )
    why = f"; of {read:,} samples {read - len(usable):,} cannot be used: {skipped[0].reason}" if skipped else ""
    return f"{samples.name}: no usable sample has a label in column `{config.data.label}`{why}"


def left_out(samples: int, lacking: str, of: int | None = None) -> str:
    """Say that some samples, `of` so many, take no part."""
    counted = f"{samples:,} sample{'' if samples == 1 else 's'}" if of is None else f"{samples:,} of {of:,} samples"
    return f"{counted} {'has' if samples == 1 else 'have'} no {lacking} and {'takes' if samples == 1 else 'take'} no part"


def _count_twins(extraction: Extraction, task: Task) -> int:
    """Count the test samples that are to the byte the same as one that is trained on."""
    features = extraction.features[0]
    keys = sortable(features.keys[np.searchsorted(features.rows, task.rows)])
    return int(np.isin(keys[task.test], keys[~task.test]).sum())


def _groups(column: Names, rows: np.ndarray) -> np.ndarray:
    """Return the groups `[m]` of some samples; one without is a group of its own."""
    known = column.known[rows]
    groups = np.array([f"\0{row}" for row in rows[~known].tolist()]) if not known.all() else np.zeros(0, "U1")
    found = np.empty(len(rows), np.promote_types(groups.dtype, column.names.dtype))
    found[known], found[~known] = column.at(rows[known]), groups
    return found


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _hold_out(labels: np.ndarray, groups: np.ndarray | None, among: np.ndarray, config: Config, notes: list[str]) -> np.ndarray:
    share = config.data.test_size
    candidates = np.flatnonzero(among)
    try:
        chosen = hold_out(labels[candidates], None if groups is None else groups[candidates], share, config.selection.seed)
    except ValueError as error:
        if groups is not None and len(np.unique(groups[candidates])) == 1:
            raise TrainingError(
                f"{config.where('data', 'group')}: all {len(candidates):,} samples are of one group in `{config.data.group}`, "
                "and a group is never on both sides of a split; leave `group` out or name the test samples by `split`"
            ) from error
        raise TrainingError(f"no test part can be held out of {len(candidates)} training samples: {error}") from error
    whole = "" if groups is None else ", whole groups,"
    notes.append(f"no test split in the data: {chosen.sum():,} samples ({chosen.mean():.0%}){whole} were held out as test")
    test = np.zeros(len(labels), bool)
    test[candidates[chosen]] = True
    return test


def _training(task: Task) -> np.ndarray:
    return ~task.test if task.validation is None else ~task.test & ~task.validation


def _check_classes(task: Task, name: str) -> None:
    training, notes = _training(task), task.notes
    classes, counts = np.unique(task.labels[training], return_counts=True)
    if (alike := spelled_alike(classes.tolist())) is not None:
        notes.append(alike)
    if len(classes) < 2:
        held = f"only the class `{classes[0]}`" if len(classes) else "no samples"
        raise TrainingError(f"{name}: the training split holds {held}; a classifier needs at least two classes")
    if len(classes) > training.sum() / 2 and counts.max() < SMALL_CLASS:
        raise TrainingError(_no_classes(name, len(classes), int(training.sum())))
    fractions = [label for label in classes.tolist() if (value := _number(label)) is not None and value % 1]
    if len(fractions) > MANY_NUMBERS:
        notes.append(
            f"{len(fractions):,} classes are numbers such as `{fractions[0]}`: if they are measured, say `task: regression`"
        )
    if rare := [str(c) for c in classes[counts == 1]]:
        notes.append(f"{_classes(rare)} a single training sample: too few to learn from or to validate on")
    unseen = sorted(set(task.labels[task.test]) - set(task.labels[~task.test]))
    if unseen:
        notes.append(f"{_classes(unseen)} test samples and no training sample: those count as mistakes")


def _check_labels(task: Task, name: str) -> None:
    counts = task.labels[_training(task)].sum(axis=0)
    if (alike := spelled_alike(task.names)) is not None:
        task.notes.append(alike)
    if not len(counts) or not counts.any():
        raise TrainingError(f"{name}: no training sample has any label")
    if len(counts) == 1:
        raise TrainingError(f"{name}: `{task.names[0]}` is the only label; make a class of it, without `multilabel`")
    if unseen := [label for label, count in zip(task.names, counts.tolist(), strict=True) if not count]:
        task.notes.append(f"{_classes(unseen, 'label')} no training sample: never predicted")


def _check_numbers(task: Task, name: str) -> None:
    numbers = task.labels[_training(task)]
    if len(np.unique(numbers)) < 2:
        held = f"only the number {numbers[0]:g}" if len(numbers) else "no samples"
        raise TrainingError(f"{name}: the training split holds {held}; there is nothing to learn")


def _classes(names: list[str], what: str = "class") -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5]) + (" and others" if len(names) > 5 else "")
    several = "classes" if what == "class" else f"{what}s"
    return f"{what} {shown} has" if len(names) == 1 else f"{several} {shown} have"
