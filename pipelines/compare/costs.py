"""What a method costs in a comparison: time by stage, memory, energy, parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.compare.cells import Record
from pipelines.compare_config import CACHED

if TYPE_CHECKING:
    from pipelines.compare.summary import Search

SWEEP = 100
"""Trials over which the extraction is shown amortised."""

_ONE_TRAINING = ("read", "prepare", "probe", "train")


@dataclass(frozen=True)
class Costs:
    """What a method costs, the mean over seeds.

    Attributes
    ----------
    seconds, cpu_seconds
        Wall and processor time: `extraction` (of all samples it uses, the test samples included), `search` (all trials but
        the chosen one), `training` (the chosen one), `answering` (for the test samples), `total` of these, and `once`: without
        the search. Loading libraries and weights is left out.
    amortised
        Wall seconds a trial where the extraction serves a sweep of `SWEEP` trials.
    memory
        Peak bytes of the costliest cell: `process`; `above_libraries`, without what the process held before anything was
        loaded; `device`, what torch had allocated on a GPU, or None.
    energy
        Joules of all cells with their source; None where it cannot be measured.
    trainable, parameters
        Numbers that take gradients, and all of the model's; of cached features the head's and the backbone's.
    epochs, best_epoch
        That the chosen trials ran, and that they kept; None for heads that are solved and not trained step by step.
    """

    seconds: dict[str, float]
    cpu_seconds: dict[str, float]
    amortised: float
    memory: dict[str, float | None]
    energy: dict[str, Any] | None
    trainable: float
    parameters: float
    epochs: float | None
    best_epoch: float | None


def costs_of(held: "Sequence[Search]", extracted: Record, used: float) -> Costs:
    """Return what a method's searches cost.

    Parameters
    ----------
    held
        One for each seed, each with a choice.
    extracted
        The extraction's record.
    used
        Samples whose features are needed: labelled and test samples.
    """
    cached = held[0].method in CACHED
    share = min(1.0, used / max(1, extracted.content["samples"])) if cached else 0.0
    best = [search.best[1] for search in held if search.best is not None]
    records = [record for search in held for _, record in search.cells if record.error is None]
    wall, processor = (_times(held, extracted, share, clock) for clock in ("seconds", "cpu_seconds"))
    trials = float(np.mean([len(record.content.get("trials", [0])) for record in best]))
    amortised = wall["extraction"] / SWEEP + wall["search"] / trials if cached else wall["training"]
    epochs = [record.content["epochs"] for record in best]
    stopped = None if None in epochs else float(np.mean([record.content["best_epoch"] for record in best]))
    return Costs(
        seconds=wall,
        cpu_seconds=processor,
        amortised=float(amortised),
        memory=_memory([*records, *([extracted] if cached else [])]),
        energy=_energy(records, extracted, share, len(held)),
        trainable=float(np.mean([record.content["trainable"] for record in best])),
        parameters=float(extracted.content["parameters"] + best[0].content["trainable"]) if cached
        else float(best[0].content["parameters"]),
        epochs=None if None in epochs else float(np.mean(epochs)),
        best_epoch=stopped,
    )  # fmt: skip


def _times(held: "Sequence[Search]", extracted: Record, share: float, clock: str) -> dict[str, float]:
    search, training, answering = [], [], []
    for found in held:
        assert found.best is not None
        own = found.best[1].content[clock]
        training.append(_sum(own, _ONE_TRAINING))
        answering.append(own["answer"])
        others = sum(
            _sum(record.content[clock], _ONE_TRAINING)
            for _, record in found.cells
            if record.error is None and record is not found.best[1]
        )
        if found.searched:
            search.append(own.get("search", 0.0) + others)
    told = {
        "extraction": share * extracted.content[clock]["extract"],
        "search": float(np.mean(search)) if search else 0.0,
        "training": float(np.mean(training)),
        "answering": float(np.mean(answering)),
    }
    total = sum(told.values())
    return told | {"total": total, "once": total - told["search"]}


def _sum(times: Mapping[str, float], stages: Sequence[str]) -> float:
    return sum(times.get(stage, 0.0) for stage in stages)


def _memory(records: Sequence[Record]) -> dict[str, float | None]:
    each = [record.content["memory"] for record in records]
    on_device = [memory["device"] for memory in each if memory["device"] is not None]
    return {
        "process": float(max(memory["process"] for memory in each)),
        "above_libraries": float(max(memory["process"] - memory["libraries"] for memory in each)),
        "device": float(max(on_device)) if on_device else None,
    }


def _energy(records: Sequence[Record], extracted: Record, share: float, seeds: int) -> dict[str, Any] | None:
    each = [record.content["energy"] for record in records]
    if any(energy["joules"] is None for energy in each):
        return None
    joules = sum(energy["joules"] for energy in each) / seeds
    return {"joules": joules + share * (extracted.content["energy"]["joules"] or 0.0), "source": each[0]["source"]}
