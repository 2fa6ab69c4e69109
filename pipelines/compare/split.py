"""Which samples every method trains, validates and is tested on: the same ones for all."""

from dataclasses import dataclass

import numpy as np

from heads import hold_out
from pipelines.errors import TrainingError
from pipelines.task import Task


@dataclass(frozen=True)
class Split:
    """Rows of the source, and class codes of those whose labels a method may see.

    Attributes
    ----------
    train, validation, test
        `[n]`, `[v]`, `[t]`: rows in the source.
    train_codes, validation_codes
        `[n]` and `[v]`. The test samples' labels are not here: no method is given them.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    train_codes: np.ndarray
    validation_codes: np.ndarray

    @property
    def labelled(self) -> int:
        """How many labelled samples a method uses."""
        return len(self.train) + len(self.validation)


def make_split(task: Task, size: int | str, seed: int, share: float) -> Split:
    """Draw the samples of one repetition.

    Parameters
    ----------
    task
        Of classification.
    size
        Labelled samples a class, those that validate included; `all` for all there are.
    seed
        Of the drawing; smaller sizes are part of larger ones.
    share
        What part of them validates, where the data have no validation split or a size is given.

    Raises
    ------
    TrainingError
        If there are too few samples to hold some out.
    """
    codes = np.searchsorted(task.classes, task.labels)
    pool = task.development
    groups = task.groups
    if size == "all" and task.validation is not None:
        validating = task.validation[pool]
    else:
        if size != "all":
            pool = _draw(pool, codes, int(size), seed)
        try:
            validating = hold_out(task.labels[pool], None if groups is None else groups[pool], share, seed)
        except ValueError as error:
            raise TrainingError(f"{len(pool)} samples cannot be split into training and validation: {error}") from error
    train, validation = pool[~validating], pool[validating]
    if len(np.unique(codes[train])) < 2:
        raise TrainingError(f"the {len(train)} training samples left of {len(pool)} are of a single class")
    tested = np.flatnonzero(task.test)
    return Split(task.rows[train], task.rows[validation], task.rows[tested], codes[train], codes[validation])


def _draw(pool: np.ndarray, codes: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Return at most so many positions of each class, the first ones of a seed's order."""
    shuffled = np.random.default_rng(seed).permutation(pool)
    chosen = [shuffled[codes[shuffled] == code][:size] for code in np.unique(codes[pool])]
    return np.sort(np.concatenate(chosen))
