"""Runs beside each other: a folder's runs as a list, and paired tests between runs on the same test samples."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import RunError, UsageError


@dataclass(frozen=True)
class RunEntry:
    """A run in one line.

    Attributes
    ----------
    run, time
        The folder, and when it was made (ISO 8601; None if the run does not say).
    head, backbone, output
        What was chosen.
    settings
        What tells its backbone from others of the same name.
    metric, validation
        The metric that decided, and the chosen trial's score (None if the run does not say).
    test
        Metric -> value, low, high.
    samples
        So many test samples.
    """

    run: str
    time: str | None
    task: str
    head: str
    backbone: str
    output: str
    metric: str
    validation: float | None
    test: dict[str, dict[str, float]]
    samples: int
    settings: str = ""


def list_runs(folder: Path) -> tuple[list[RunEntry], list[str]]:
    """Return the runs in a folder, newest first, and a line about each that cannot be read.

    Raises
    ------
    UsageError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; `headstart train` puts runs in `runs`")
    found, faults = [], []
    for place in sorted(folder.iterdir()):
        if not place.name.startswith(".") and (place / "metrics.json").is_file():
            try:
                found.append(read_entry(place))
            except RunError as error:
                faults.append(str(error))
    return sorted(found, key=lambda entry: entry.time or "", reverse=True), faults


def check_run(folder: Path) -> None:
    """See that a folder is a run.

    Raises
    ------
    UsageError
        If it is none.
    """
    if not (folder / "metrics.json").is_file():
        raise UsageError(f"{folder}: is not a run folder (it has no metrics.json); `headstart train` makes one")


def check_holds(run: Path, files: Sequence[str]) -> None:
    """See that a run holds files, such as its test predictions, which a pulled head does not.

    Raises
    ------
    UsageError
        If one is not there, or the folder is no run.
    """
    check_run(run)
    if lacking := [name for name in files if not (run / name).is_file()]:
        raise UsageError(
            f"{run}: has no {' and no '.join(lacking)}: it was removed, or this is a pulled head (its README.md says how good "
            f"it was); `headstart evaluate {run} --file F` tests it on samples of yours"
        )


def read_entry(run: Path) -> RunEntry:
    """Read what a run came to.

    Raises
    ------
    UsageError
        If it is no run.
    RunError
        If it cannot be read.
    """
    check_run(run)
    try:
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        made = run / "environment.json"
        time = json.loads(made.read_text(encoding="utf-8")).get("time") if made.is_file() else None
        chosen = metrics["selected"]
        metric = metrics.get("metric") or next(iter(metrics["test"]))
        return RunEntry(
            run=str(run),
            time=time,
            task=str(metrics.get("task", "classification")),
            head=str(chosen["head"]),
            backbone=str(chosen["backbone"]),
            output=str(chosen["output"]),
            metric=metric,
            validation=chosen["validation"].get(metric),
            test={name: dict(estimate) for name, estimate in metrics["test"].items()},
            samples=int(metrics["samples"]["test"]),
            settings=str(chosen.get("settings", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{run}: its outcome cannot be read: {type(error).__name__}: {error}") from error


def compare_runs(runs: Sequence[Path]) -> dict[str, Any]:
    """Compare each run with the first one on the test samples that both answered for.

    Returns
    -------
    dict
        `runs`, an entry each, and `pairs`: of every other run against the first the number of common test samples and
        their `difference` (of shares of right answers, or of absolute errors avoided; above 0 the other run is better) with
        its bootstrap interval, and McNemar's test of right and wrong answers (None for numbers).

    Raises
    ------
    UsageError
        If there are fewer than two runs, one is a pulled head, or two have no test samples in common or other labels for them.
    RunError
        If a run cannot be read.
    """
    if len(runs) < 2:
        raise UsageError("give at least two runs to compare")
    entries = [read_entry(run) for run in runs]
    base = _read_answers(runs[0])
    pairs = [_pair(runs[0], base, run, _read_answers(run)) for run in runs[1:]]
    return {"runs": [dataclasses.asdict(entry) for entry in entries], "pairs": pairs}


Answers = Mapping[str, tuple[Any, Any]]


def _read_answers(run: Path) -> Answers:
    """Return id -> truth and prediction of every test sample."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_holds(run, ["test_predictions.parquet"])
    try:
        table = pq.read_table(run / "test_predictions.parquet", columns=["id", "label", "predicted"]).to_pydict()
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{run}: its test predictions cannot be read: {error}") from error
    return dict(zip(table["id"], zip(map(_plain, table["label"]), map(_plain, table["predicted"]), strict=True), strict=True))


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _pair(first: Path, base: Answers, second: Path, other: Answers) -> dict[str, Any]:
    from heads import bootstrap_difference, difference_of_shares, mcnemar

    common = [name for name in base if name in other]
    if not common:
        raise UsageError(f"{first} and {second}: no test sample is in both; runs are compared on the same test samples")
    true = [base[name][0] for name in common]
    if differing := next((name for name, truth in zip(common, true, strict=True) if not _same(truth, other[name][0])), None):
        raise UsageError(
            f"{first} and {second}: {differing} is `{base[differing][0]}` in one and `{other[differing][0]}` in the other; "
            "runs are compared on the same labels"
        )
    before, after = ([answers[name][1] for name in common] for answers in (base, other))
    tested = None
    if isinstance(true[0], float):
        errors = [np.abs(np.subtract(answers, true)) for answers in (before, after)]
        difference = bootstrap_difference(errors[0], errors[1])
    else:
        right = [np.array([a == t for a, t in zip(answers, true, strict=True)]) for answers in (before, after)]
        difference = difference_of_shares(right[1], right[0])
        tested = dataclasses.asdict(mcnemar(right[1], right[0]))
    return {
        "run": str(second),
        "against": str(first),
        "samples": len(common),
        "difference": dataclasses.asdict(difference),
        "mcnemar": tested,
    }


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)
