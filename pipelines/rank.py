"""Rank backbones, layers and poolings from cached features before any head is trained; and how well that agrees with heads."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from heads import h_score, hold_out, knn_accuracy, logme
from pipelines.columns import read_columns
from pipelines.combinations import is_tokens
from pipelines.config import Config, Head, Search
from pipelines.errors import RunError, UsageError
from pipelines.extract import Prospect, extract_config
from pipelines.task import Task, check_samples, check_slice, make_task
from pipelines.trials import check_folds, run_trials

MOST_SAMPLES = 10_000
"""Estimates are made on so many samples at most: neighbours and Gram matrices cost their square."""

CHECK: dict[str, dict[str, Any]] = {
    "classification": {"kind": "linear", "C": {"log": [1e-2, 1e2, 5]}},
    "multilabel": {"kind": "linear", "C": {"log": [1e-2, 1e2, 5]}},
    "regression": {"kind": "ridge"},
}
"""The heads that `check` trains on every output."""


@dataclass(frozen=True)
class Candidate:
    """An output of a backbone, and how good it is said to be.

    Attributes
    ----------
    logme, h_score, knn
        See `heads.transferability`; higher is better. `h_score` is None for numbers.
    trained
        The best validation score of heads trained on it; None where none was.
    settings
        What tells its backbone from others of the same name.
    """

    backbone: str
    recipe: str
    output: str
    width: int
    logme: float
    h_score: float | None
    knn: float
    trained: float | None = None
    settings: str = ""


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau between an estimate and the trained heads over so many outputs, with its p-value."""

    tau: float
    p: float
    outputs: int


@dataclass(frozen=True)
class Ranking:
    """Outputs with the best LogME first, on so many samples, and for every estimate how it agrees with trained heads.

    `notes` say why an estimate was not compared with the heads that it was to be compared with.
    """

    candidates: list[Candidate]
    agreement: dict[str, Agreement]
    samples: int
    metric: str
    seconds: float
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return what `headstart rank --json` prints."""
        return dataclasses.asdict(self)


def rank_outputs(config: Config, store: str | None, run: Path | None, check: bool, progress: Any) -> Ranking:
    """Estimate how good every output in a config is for its task; only samples that are not test are looked at.

    Parameters
    ----------
    config, store
        The experiment, and the store to use instead of its own.
    run
        A run to compare with: the best validation score it has for each output alone.
    check
        Train linear heads on every output instead, and compare with those.
    progress
        Told how extraction goes.

    Raises
    ------
    UsageError
        If both `run` and `check` are asked for, or there is nothing but tokens to rank.
    RunError
        If the run cannot be read.
    """
    if run is not None and check:
        raise UsageError("give --run or --check, and not both")

    def look(found: Prospect) -> None:
        if (task := check_samples(config, found)) is not None and check:
            check_folds(config, task)

    extraction = extract_config(config, store, progress=progress, check=look, check_slice=partial(check_slice, config.kind))
    task = make_task(extraction, config)
    began = time.monotonic()
    rows = _some(task, config.selection.seed)
    found = []
    for features in extraction.features:
        for output in features.outputs:
            if not is_tokens(output):
                X = read_columns(features, (output,), task.rows[rows], extraction.views.get(features.recipe.id)).X
                found.append(_estimate(features.recipe.backbone, features.recipe.id, output, X, task, rows))
    if not found:
        raise UsageError(f"{config.where('outputs')}: tokens cannot be ranked; name an output with another pooling")
    trained: dict[tuple[str, str], float] = {}
    if check:
        heads = [Head.model_validate(CHECK[task.kind] | {"outputs": [candidate.output]}) for candidate in found]
        unique = list({str(head.outputs): head for head in heads}.values())
        checked = config.model_copy(update={"heads": unique, "search": Search.model_validate({})})
        trained = _best(
            (trial.recipe, trial.output, trial.scores[config.metric].mean) for trial in run_trials(checked, extraction, task)
        )
    elif run is not None:
        trained = _read_trials(run, config.metric)
    settings = extraction.settings
    found = [dataclasses.replace(c, trained=trained.get((c.recipe, c.output)), settings=settings[c.recipe]) for c in found]
    found.sort(key=lambda candidate: -candidate.logme)
    agreement, notes = _agreement(found) if check or run is not None else ({}, [])
    if run is not None and not agreement:
        notes.append(f"{run} cannot say how far to trust this; --check trains a linear head on every output")
    return Ranking(found, agreement, len(rows), config.metric, time.monotonic() - began, notes)


def _some(task: Task, seed: int) -> np.ndarray:
    """Return positions within the task of the samples to estimate on: a random part of what is not test."""
    rows = task.development
    if len(rows) <= MOST_SAMPLES:
        return rows
    return rows[hold_out(task.labels[rows], None, MOST_SAMPLES / len(rows), seed)]


def _estimate(backbone: str, recipe: str, output: str, X: np.ndarray, task: Task, rows: np.ndarray) -> Candidate:
    y = task.labels[rows]
    score = None if task.kind == "regression" else h_score(X, y)
    return Candidate(backbone, recipe, output, X.shape[1], logme(X, y), score, knn_accuracy(X, y))


def _best(scores: Any) -> dict[tuple[str, str], float]:
    best: dict[tuple[str, str], float] = {}
    for backbone, output, score in scores:
        if score is not None and np.isfinite(score):
            best[backbone, output] = max(score, best.get((backbone, output), -np.inf))
    return best


def _read_trials(run: Path, metric: str) -> dict[tuple[str, str], float]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(run / "trials.parquet")
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{run}: its trials cannot be read: {' '.join(str(error).split())}") from error
    if absent := [name for name in ("recipe", metric) if name not in table.column_names]:
        raise RunError(
            f"{run}: its trials have no column `{absent[0]}`: another task's run, or an older one; use --check instead"
        )
    return _best((row["recipe"], row["output"], row[metric]) for row in table.to_pylist())


def _agreement(found: Sequence[Candidate]) -> tuple[dict[str, Agreement], list[str]]:
    """Return how each estimate agrees with trained heads, and why one does not."""
    known = [candidate for candidate in found if candidate.trained is not None]
    trained = [candidate.trained for candidate in known]
    missing = "no Kendall's tau"
    if len(known) < 2:
        return {}, [
            f"{missing}: it takes two outputs with trained heads of their own, and {len(known)} of {len(found)} have any"
        ]
    if len(set(trained)) == 1:
        return {}, [f"{missing}: trained heads are equally good on all {len(known)} outputs"]
    agreement, notes = {}, []
    for name in ("logme", "h_score", "knn"):
        values = [getattr(candidate, name) for candidate in known]
        if None in values:
            continue
        tau, p = kendalltau(values, trained)
        if np.isfinite(tau):
            agreement[name] = Agreement(float(tau), float(p), len(known))
        else:
            notes.append(f"{missing} of `{name}`: it is the same for all {len(known)} outputs")
    return agreement, notes
