"""The run folder: one experiment's config, trials, metrics, head, predictions, figures and report.

    config.yaml               the config, every default spelt out
    environment.json          versions, machine, command
    trials.parquet            every trial with its scores, best first
    metrics.json              what `headstart train --json` prints, the classes, the confusion matrix, notes
    test_predictions.parquet  id, truth, prediction and probabilities of every test sample
    skipped.jsonl             samples that could not be used, and why
    head/                     the chosen head (heads/saving.py); of an ensemble head-1, head-2, ..., the largest share first
    answers.json              the heads' folders and shares, and how their predictions become answers (heads/decision.py)
    figures/                  pictures, as PNG
    report.html               all of it for a person, in one file

A run is built beside its place and renamed into it, so that it is there whole or not at all.
"""

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cache import HeadstartError
from cache.place import absolute
from extract import BackboneSpec, Columns
from extract.devices import device_or_auto
from heads import Decision, gives_probabilities, load_head, save_head
from pipelines import console
from pipelines.config import Config
from pipelines.environment import environment
from pipelines.errors import RunError, UsageError
from pipelines.evaluation import look_closer, stand_trials
from pipelines.extract import Extraction, spec_of
from pipelines.runs import check_run
from pipelines.task import Task
from pipelines.train import Result
from pipelines.trials import Trial


def choose_run_folder(config: Config, asked: str | None) -> Path:
    """Return where a run goes: the folder asked for, or `runs/<name>-<time>`.

    Raises
    ------
    UsageError
        If the folder asked for holds something that is not a run.
    """
    if asked is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        names = [f"{config.name}-{stamp}", *(f"{config.name}-{stamp}-{number}" for number in range(2, 1000))]
        return next(Path("runs", name) for name in names if not Path("runs", name).exists())
    folder = Path(asked)
    if folder.exists() and not (folder / "metrics.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not a run; name another folder with --run")
    return folder


def write_run(
    folder: Path,
    config: Config,
    extraction: Extraction,
    task: Task,
    result: Result,
    store: str,
    seconds: dict[str, float],
    write_report: Callable[[Path], None],
    record: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a run folder, in the place of a former one; return what `metrics.json` holds.

    Parameters
    ----------
    folder
        Where.
    config, extraction, task, result
        The experiment.
    store
        The feature store that was used; recorded for `predict`.
    seconds
        Wall time of the stages.
    write_report
        Called with the folder, which holds everything else, to add figures and report.
    record
        More for `metrics.json`: of how the run came about.
    """
    building = folder.parent / f".{folder.name}.building-{os.getpid()}"
    try:
        building.mkdir(parents=True)
        settled = config.model_copy(update={"store": absolute(store)})
        (building / "config.yaml").write_text(settled.to_yaml(), encoding="utf-8")
        _write_json(building / "environment.json", environment())
        extraction.write_skipped(building / "skipped.jsonl")
        _write_tables(building, extraction, result)
        metrics = {
            **summarize(folder, config.metric, extraction, task, result, seconds),
            "metric": config.metric,
            **(record or {}),
        }
        _write_json(building / "metrics.json", metrics)
        _write_heads(building, config, extraction, result)
        write_report(building)
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)
    except OSError as error:
        raise RunError(f"{folder}: the run could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return metrics


def summarize(
    folder: Path, metric: str, extraction: Extraction, task: Task, result: Result, seconds: dict[str, float]
) -> dict[str, Any]:
    """Return a run's outcome: the fields of `headstart train --json`, and what the report needs besides."""
    summary = {
        "run": str(folder),
        "task": task.kind,
        "extract": extraction.to_json(),
        "trials": len(result.trials),
        "failed_trials": sum(trial.error is not None for trial in result.trials),
        "selected": _selected(result),
        "test": {name: dataclasses.asdict(estimate) for name, estimate in result.metrics.items()},
        "samples": {"development": len(task.development), "test": int(task.test.sum())},
        "classes": result.classes,
        "confusion": result.confusion.tolist() if task.kind == "classification" else None,
        "decision": result.decision.to_dict(),
        "notes": [*task.notes, *result.notes],
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }
    outcome, comparison = result.outcome, result.comparison
    groups = extraction.samples.groups
    tested = None if groups is None else [groups[row] for row in outcome.rows.tolist()]
    summary |= look_closer(task.kind, outcome, result.classes, tested)
    summary["standings"] = stand_trials(result.trials, result.selected, metric, task) if len(result.members) == 1 else []
    if result.nested is not None:
        summary["nested"] = {name: score._asdict() for name, score in result.nested.items()}
    if outcome.coverage is not None:
        summary["prediction_sets"] = {"coverage": dataclasses.asdict(outcome.coverage), "size": outcome.size}
    if comparison is not None:
        parts = {name: getattr(comparison, name) for name in ("test", "mcnemar", "validation")}
        summary["comparison"] = {"runner_up": _describe(comparison.runner_up)} | {
            name: None if part is None else dataclasses.asdict(part) for name, part in parts.items()
        }
    return summary


def _describe(trial: Trial) -> dict[str, Any]:
    told = {"head": trial.head, "params": trial.params, "backbone": trial.backbone, "output": trial.output}
    return told | ({"settings": trial.settings} if trial.settings else {})


def _selected(result: Result) -> dict[str, Any]:
    if len(result.members) == 1:
        return {**_describe(result.selected), "validation": result.validation}
    trials = [member.trial for member in result.members]
    return {
        "head": "ensemble",
        "params": {"members": len(trials)},
        "backbone": "+".join(dict.fromkeys(trial.backbone for trial in trials)),
        "output": "+".join(dict.fromkeys(name for trial in trials for name in trial.outputs)),
        "validation": result.validation,
        "members": [{**_describe(member.trial), "weight": member.weight} for member in result.members],
    }


@dataclasses.dataclass(frozen=True)
class SavedMember:
    """A head of a run, its share, and the features that it is for; of views, whether it answers for their mean."""

    head: Any
    weight: float
    backbone: BackboneSpec
    recipe: str
    outputs: tuple[str, ...]
    averages: bool = False


@dataclasses.dataclass(frozen=True)
class SavedRun:
    """What `predict` needs of a run: the heads that answer together, and how their predictions become an answer.

    Attributes
    ----------
    task
        `classification`, `multilabel` or `regression`.
    names
        The classes that were learnt, or the labels; none for numbers.
    columns, encoding
        Which columns of a table are the samples, and what files are read in.
    pairs
        Whether a sample is a text with a second one; None where the run does not say.
    """

    members: list[SavedMember]
    decision: Decision
    task: str
    names: list[str]
    store: str
    device: str
    columns: Columns
    encoding: str
    pairs: bool | None

    @property
    def sure(self) -> bool:
        """Whether its answers have probabilities, and are not the votes of a head without any."""
        return len(self.members) > 1 or gives_probabilities(self.members[0].head)


def read_run(folder: Path) -> SavedRun:
    """Read a run folder back.

    Raises
    ------
    UsageError
        If it is no run.
    RunError
        If its heads cannot be read.
    """
    from pipelines.config_file import load_config

    check_run(folder)
    try:
        answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
        members = [_read_member(folder, entry) for entry in answers["heads"]]
        if not members:
            raise ValueError("answers.json names no head")
        decision, names = Decision.from_dict(answers["decision"]), [str(name) for name in answers["names"]]
        config = load_config(folder / "config.yaml")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, HeadstartError) as error:
        raise RunError(f"{folder}: cannot be used: {error}") from error
    columns = Columns(config.data.text, pair=config.data.pair, image=config.data.image)
    pairs = True if columns.pair is not None else answers.get("pairs")
    return SavedRun(
        members, decision, config.kind, names, config.store, device_or_auto(config.device), columns, config.data.encoding, pairs
    )  # fmt: skip


def test_ids(run: Path) -> list[str]:
    """Return the ids of the samples that a run was tested on.

    Raises
    ------
    RunError
        If the run does not say.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        ids: list[str] = pq.read_table(run / "test_predictions.parquet", columns=["id"])["id"].to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{run}: does not say what it was tested on; name labelled samples with --file") from error
    return ids


def _read_member(folder: Path, entry: dict[str, Any]) -> SavedMember:
    name = str(entry["folder"])
    if Path(name).name != name:
        raise ValueError(f"answers.json names a head outside the run: {name!r}")
    if "unsaved" in entry:
        raise ValueError(f"its head was not saved: {entry['unsaved']}")
    saved = load_head(folder / name)
    outputs = tuple(str(output) for output in saved.expects["outputs"])
    backbone = BackboneSpec(**saved.expects["backbone"])
    averages = saved.expects.get("views") == "average"
    return SavedMember(saved.head, float(entry["weight"]), backbone, str(saved.expects["recipe"]), outputs, averages)


def _write_heads(folder: Path, config: Config, extraction: Extraction, result: Result) -> None:
    specs = {  # in the precision that was computed in: `auto` may be another one where the head is used
        features.recipe.id: dataclasses.replace(spec_of(backbone), precision=features.recipe.precision)
        for backbone, features in zip(config.backbones, extraction.features, strict=True)
    }
    heads = []
    for number, member in enumerate(result.members, 1):
        name = "head" if len(result.members) == 1 else f"head-{number}"
        expects = {
            "backbone": dataclasses.asdict(specs[member.trial.recipe]),
            "recipe": member.trial.recipe,
            "outputs": member.trial.outputs,
            "views": extraction.views[member.trial.recipe].test if member.trial.recipe in extraction.views else None,
        }
        entry: dict[str, Any] = {"folder": name, "weight": member.weight}
        try:
            save_head(member.head, folder / name, expects)
        except ValueError as error:  # an estimator of another library: all else of the run is worth keeping
            entry["unsaved"] = str(error).partition(";")[0]
            console.note(f"{entry['unsaved']}; the run is kept without it, and cannot predict")
        heads.append(entry)
    answers = {"heads": heads, "decision": result.decision.to_dict(), "names": result.classes[: result.learnt]}
    _write_json(folder / "answers.json", answers | {"pairs": _are_pairs(config, extraction)})


def _are_pairs(config: Config, extraction: Extraction) -> bool | None:
    """Tell whether samples are texts with a second one, which a column of lists makes them, too; None if nobody knows."""
    if config.data.pair is not None:
        return True
    if extraction.table is not None:  # a stream's samples are not in memory
        return None
    rows = extraction.features[0].rows
    return len(rows) > 0 and isinstance(extraction.samples.inputs[int(rows[0])], list | tuple)


def _write_tables(folder: Path, extraction: Extraction, result: Result) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    trials = [
        {
            "rank": rank,
            "head": trial.head,
            "params": json.dumps(trial.params, default=str),
            "backbone": trial.backbone,
            "settings": trial.settings,
            "recipe": trial.recipe,
            "output": trial.output,
            **{name: score.mean for name, score in trial.scores.items()},
            **{f"{name}_std": score.deviation for name, score in trial.scores.items()},
            "fit_seconds": trial.fit_seconds,
            "error": trial.error,
            "dropped_at": trial.dropped_at,
        }
        for rank, trial in enumerate(result.trials, 1)
    ]
    pq.write_table(pa.Table.from_pylist(trials), folder / "trials.parquet")
    pq.write_table(pa.table(_predictions(extraction, result)), folder / "test_predictions.parquet")


def _predictions(extraction: Extraction, result: Result) -> dict[str, Any]:
    """Return the columns of `test_predictions.parquet`."""
    outcome, classes = result.outcome, result.classes
    table: dict[str, Any] = {"id": [extraction.samples.ids[row] for row in outcome.rows.tolist()]}
    if not classes:
        table |= {"label": outcome.true, "predicted": outcome.predicted}
    elif outcome.true.ndim == 2:
        table |= {"label": _names_of(outcome.true, classes), "predicted": _names_of(outcome.predicted, classes)}
    else:
        table |= {"label": _named(outcome.true, classes), "predicted": _named(outcome.predicted, classes)}
    if outcome.probabilities is not None:
        table |= {f"probability:{name}": outcome.probabilities[:, code] for code, name in enumerate(classes)}
    if outcome.sets is not None:
        ends = {"low": outcome.sets[:, 0], "high": outcome.sets[:, 1]}
        table |= {"set": _names_of(outcome.sets, classes)} if classes else ends
    return table


def _named(codes: np.ndarray, names: list[str]) -> list[str]:
    return [names[code] for code in codes.tolist()]


def _names_of(chosen: np.ndarray, names: list[str]) -> list[list[str]]:
    """Return the names of the columns that hold in every row of `[n, k]`."""
    return [[names[column] for column in np.flatnonzero(row).tolist()] for row in chosen]


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
