"""The classification task in a data set: which samples train, validate and test, and what was left out and why."""

from dataclasses import dataclass

import numpy as np

from heads import choose_splitter, hold_out
from pipelines.config import Config
from pipelines.errors import TrainingError
from pipelines.extract import Extraction

SMALL_CLASS = 5


@dataclass(frozen=True)
class Task:
    """A data set made ready for training.

    Attributes
    ----------
    rows
        `[n]`, positions in the source of the samples that take part.
    labels
        `[n]` of str.
    groups
        `[n]` of str, or None.
    validation, test
        Masks `[n]`; the rest trains. `validation` is None where trials are cross-validated.
    notes
        What the user should know about the data, a line each.
    """

    rows: np.ndarray
    labels: np.ndarray
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
        validation = None if self.validation is None else self.validation[chosen]
        splitter = choose_splitter(self.labels[chosen], groups, validation, folds, seed)
        return list(splitter.split(chosen, self.labels[chosen], groups))


def make_task(extraction: Extraction, config: Config) -> Task:
    """Find the samples that can take part and split them as the data say, or by a held-out part.

    Raises
    ------
    TrainingError
        If there is nothing to train on: no labels, no training samples, a single class.
    """
    samples, notes = extraction.samples, []
    if samples.labels is None:
        raise TrainingError(f"{config.where('data')}: training needs a label column; name it as `data.label`")
    rows = extraction.features[0].rows
    for features in extraction.features[1:]:
        rows = np.intersect1d(rows, features.rows)
    labelled = [row for row in rows.tolist() if samples.labels[row] is not None]
    if unlabelled := len(rows) - len(labelled):
        notes.append(f"{unlabelled:,} samples have no label and take no part")
    splits = samples.splits
    placed = labelled if splits is None else [row for row in labelled if splits[row] is not None]
    if unplaced := len(labelled) - len(placed):
        notes.append(f"{unplaced:,} samples have no split and take no part")
    if not placed:
        raise TrainingError(f"{samples.name}: no usable sample has a label in column `{config.data.label}`")
    labels = np.array([samples.labels[row] for row in placed])
    groups = None
    if samples.groups is not None:  # a sample without a group is a group of its own
        groups = np.array([samples.groups[row] or f"\0{row}" for row in placed])
    parts = np.array(["train" if splits is None else splits[row] for row in placed])
    test, validation = parts == "test", parts == "validation"
    if not test.any():
        test = _hold_out(labels, groups, ~validation, config, notes)
    task = Task(np.array(placed), labels, groups, validation if validation.any() else None, test, notes)
    _check(task, samples.name, notes)
    return task


def _hold_out(labels: np.ndarray, groups: np.ndarray | None, among: np.ndarray, config: Config, notes: list[str]) -> np.ndarray:
    share = config.data.test_size
    candidates = np.flatnonzero(among)
    try:
        chosen = hold_out(labels[candidates], None if groups is None else groups[candidates], share, config.selection.seed)
    except ValueError as error:
        raise TrainingError(f"no test part can be held out of {len(candidates)} training samples: {error}") from error
    notes.append(f"no test split in the data: {chosen.sum():,} samples ({share:.0%}) were held out as test")
    test = np.zeros(len(labels), bool)
    test[candidates[chosen]] = True
    return test


def _check(task: Task, name: str, notes: list[str]) -> None:
    training = ~task.test if task.validation is None else ~task.test & ~task.validation
    classes, counts = np.unique(task.labels[training], return_counts=True)
    if len(classes) < 2:
        held = f"only the class `{classes[0]}`" if len(classes) else "no samples"
        raise TrainingError(f"{name}: the training split holds {held}; a classifier needs at least two classes")
    if len(classes) > training.sum() / 2 and counts.max() < SMALL_CLASS:
        what = f"{len(classes):,} different values in {training.sum():,} training samples"
        raise TrainingError(f"{name}: the label column holds {what}; is it a number, a text or an id?")
    if rare := [str(c) for c in classes[counts == 1]]:
        notes.append(f"{_classes(rare)} a single training sample: too few to learn from or to validate on")
    unseen = sorted(set(task.labels[task.test]) - set(task.labels[~task.test]))
    if unseen:
        notes.append(f"{_classes(unseen)} test samples and no training sample: those count as mistakes")


def _classes(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5]) + (" and others" if len(names) > 5 else "")
    return f"class {shown} has" if len(names) == 1 else f"classes {shown} have"
