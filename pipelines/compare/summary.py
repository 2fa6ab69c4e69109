"""What a comparison came to: scores with intervals, costs, the Pareto front, and every method beside full fine-tuning."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from heads import Estimate, PairedDifference
from heads.scores import softmax
from pipelines.compare.cells import Cell, Record
from pipelines.compare.costs import Costs, costs_of
from pipelines.compare.intervals import Drawn, draw_metrics
from pipelines.compare.planning import Plan
from pipelines.compare_config import CACHED, METHODS
from pipelines.errors import RunError
from pipelines.extract import Extraction

REFERENCE = "full"
"""What every method is put beside: full fine-tuning."""

METRICS = (
    "accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "precision_macro", "recall_macro", "matthews_corrcoef",
    "log_loss",
)  # fmt: skip


@dataclass(frozen=True)
class Search:
    """One method's search on one draw of samples.

    Attributes
    ----------
    cells
        What is there of it.
    searched
        Whether it tried all values itself, and did not take over an earlier seed's.
    """

    method: str
    size: int | str
    seed: int
    cells: tuple[tuple[Cell, Record], ...]
    searched: bool

    @property
    def best(self) -> tuple[Cell, Record] | None:
        """The trial with the best validation score, the first of equals; None where none succeeded."""
        held = [(cell, record) for cell, record in self.cells if record.error is None]
        return max(held, key=lambda pair: pair[1].content["validation"], default=None)


@dataclass(frozen=True)
class Failure:
    """A cell that failed, and why."""

    cell: str
    reason: str


@dataclass(frozen=True)
class Standing:
    """How one method does on one number of samples.

    Attributes
    ----------
    labelled
        Labelled samples used, those that validate included (the mean over seeds).
    seeds
        The seeds that are in it.
    test
        Metric -> mean over the seeds, with a 95% interval over seeds and test samples.
    by_seed
        The deciding metric's test value of each seed.
    validation
        The deciding metric's mean.
    chosen
        What each seed's validation chose.
    costs
        See `Costs`.
    against
        Metric -> difference to full fine-tuning on the same samples; None for itself and where it is not there.
    on_front
        Whether no other method of the same size is both as good and as fast.
    """

    method: str
    size: int | str
    labelled: float
    seeds: tuple[int, ...]
    test: dict[str, Estimate]
    by_seed: tuple[float, ...]
    validation: float
    chosen: tuple[dict[str, Any], ...]
    costs: Costs
    against: dict[str, PairedDifference] | None = None
    on_front: bool = False


@dataclass(frozen=True)
class Comparison:
    """What `headstart compare` found.

    Attributes
    ----------
    standings
        By size, then in the methods' order.
    closed
        Size -> what share of the way from the last layer to full fine-tuning several layers go, on the deciding metric.
    """

    run: str
    name: str
    backbone: str
    metric: str
    samples: dict[str, int]
    classes: int
    extraction: dict[str, Any]
    standings: list[Standing]
    closed: dict[str, float]
    failures: list[Failure] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return what `headstart compare --json` prints."""
        told = dataclasses.asdict(self)
        for row, standing in zip(told["standings"], self.standings, strict=True):
            row["title"] = METHODS[standing.method]  # type: ignore[index]
        return _finite(told)


def summarize(folder: Path, plan: Plan, extracted: Record, extraction: Extraction, searches: Sequence[Search]) -> Comparison:
    """Test every search's choice, once, and put methods beside each other.

    Raises
    ------
    RunError
        If no cell succeeded.
    """
    standings: list[Standing] = []
    for size in plan.config.compare.sizes:
        drawn: dict[str, dict[str, Drawn]] = {}
        found: list[Standing] = []
        for method in plan.methods:
            held = [search for search in searches if (search.method, search.size) == (method, size) and search.best]
            if held:
                drawn[method] = _test(plan, held)
                found.append(_stand(plan, extracted, held, drawn[method]))
        standings += _beside(found, drawn)
    failures = [
        Failure(cell.title, record.error) for search in searches for cell, record in search.cells if record.error is not None
    ]
    if not standings:
        raise RunError(f"{folder}: no cell succeeded; the first: {failures[0].reason if failures else 'none was run'}")
    task, config = plan.task, plan.config
    return Comparison(
        run=str(folder),
        name=config.name,
        backbone=config.backbones[0].name,
        metric=config.metric,
        samples={"development": len(task.development), "test": int(task.test.sum())},
        classes=len(task.classes),
        extraction={"samples": extracted.content["samples"], **_costs_told(extracted)},
        standings=standings,
        closed=_closed(standings, config.metric),
        failures=failures,
    )


def _costs_told(record: Record) -> dict[str, Any]:
    return {name: record.content[name] for name in ("seconds", "cpu_seconds", "memory", "energy")}


def _test(plan: Plan, held: Sequence[Search]) -> dict[str, Drawn]:
    """Score the answers of each seed's choice, and of nothing else."""
    task = plan.task
    every = np.concatenate([task.classes, np.setdiff1d(task.labels[task.test], task.classes)])
    codes = {name: code for code, name in enumerate(every.tolist())}
    true = np.array([codes[label] for label in task.labels[task.test].tolist()])
    answers = [search.best[1].answers for search in held if search.best is not None]
    return draw_metrics(true, [softmax(logits.astype(float)) for logits in answers if logits is not None])


def _stand(plan: Plan, extracted: Record, held: Sequence[Search], drawn: dict[str, Drawn]) -> Standing:
    best = [search.best for search in held if search.best is not None]
    metric = "log_loss" if plan.config.metric == "neg_log_loss" else plan.config.metric
    splits = [cell.split for cell, _ in best if cell.split is not None]
    by_seed = [_test(plan, [search])[metric].value for search in held]
    tested = int(plan.task.test.sum())
    labelled = float(np.mean([split.labelled for split in splits]))
    return Standing(
        method=held[0].method,
        size=held[0].size,
        labelled=labelled,
        seeds=tuple(search.seed for search in held),
        test={name: drawn[name].estimate() for name in METRICS if name in drawn},
        by_seed=tuple(by_seed),
        validation=float(np.mean([record.content["validation"] for _, record in best])),
        chosen=tuple(record.content["chosen"] for _, record in best),
        costs=costs_of(held, extracted, labelled + tested),
    )


def _beside(found: Sequence[Standing], drawn: dict[str, dict[str, Drawn]]) -> list[Standing]:
    reference = next((standing for standing in found if standing.method == REFERENCE), None)
    told = []
    for standing in found:
        against = None
        if reference is not None and standing is not reference and len(standing.seeds) == len(reference.seeds):
            own, other = drawn[standing.method], drawn[REFERENCE]
            against = {name: own[name].minus(other[name]) for name in ("accuracy", "f1_macro")}
        told.append(dataclasses.replace(standing, against=against, on_front=_is_on_front(standing, found)))
    return told


def _is_on_front(standing: Standing, found: Sequence[Standing]) -> bool:
    def beats(other: Standing) -> bool:
        better = other.test["accuracy"].value - standing.test["accuracy"].value
        faster = standing.costs.seconds["total"] - other.costs.seconds["total"]
        return better >= 0 and faster >= 0 and (better > 0 or faster > 0)

    return not any(beats(other) for other in found)


def _closed(standings: Sequence[Standing], metric: str) -> dict[str, float]:
    """Return, by size, (layers - last layer) / (full - last layer) where full fine-tuning is ahead, by the same seeds."""
    name = metric if metric != "neg_log_loss" else "accuracy"
    closed = {}
    for size in dict.fromkeys(standing.size for standing in standings):
        held = {standing.method: standing for standing in standings if standing.size == size}
        three = [held[method] for method in (*CACHED, REFERENCE) if method in held]
        value = {standing.method: standing.test[name].value for standing in three}
        if len(three) == 3 and len({standing.seeds for standing in three}) == 1 and value[REFERENCE] > value["features"]:
            closed[str(size)] = (value["layers"] - value["features"]) / (value[REFERENCE] - value["features"])
    return closed


def _finite(value: Any) -> Any:
    """Put None in the place of numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
