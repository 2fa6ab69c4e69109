"""An excerpt of a data set that is too large to look at whole: some of its samples, with their features and targets."""

import dataclasses

import numpy as np

from extract import Features, Samples
from pipelines.extract import Extraction
from pipelines.task import Task

MOST_LOOKED_AT = 20_000
"""Samples that are looked at of a streamed data set, at most half of them test samples."""


def take_excerpt(
    extraction: Extraction, features: Features, task: Task, most: int = MOST_LOOKED_AT
) -> tuple[Samples, Features, Task, str | None]:
    """Return what is looked at of a data set, and a line that says so: all, unless it was streamed and is larger.

    Parameters
    ----------
    extraction, features, task
        The data set, with one backbone's features.
    most
        Samples at most; drawn at random.
    """
    if extraction.table is None or len(task.rows) <= most:
        return extraction.samples, features, task, None
    rng = np.random.default_rng(0)
    test, rest = np.flatnonzero(task.test), task.development
    tested = min(len(test), max(most // 2, most - len(rest)))
    chosen = np.sort(np.concatenate([rng.permutation(test)[:tested], rng.permutation(rest)[: most - tested]]))
    rows = task.rows[chosen]
    keys = features.keys[np.searchsorted(features.rows, rows)]
    numbers = np.arange(len(rows))
    part = dataclasses.replace(
        task,
        rows=numbers,
        labels=task.labels[chosen],
        groups=None if task.groups is None else task.groups[chosen],
        validation=None if task.validation is None else task.validation[chosen],
        test=task.test[chosen],
    )
    told = f"{len(rows):,} of {len(task.rows):,} samples, drawn at random, are looked at"
    return extraction.samples.take(rows.tolist()), dataclasses.replace(features, keys=keys, rows=numbers), part, told
