"""The run folder: one experiment's config, trials, metrics, head, predictions, figures and report.

    config.yaml               the config, every default spelt out
    environment.json          versions, machine, command
    trials.parquet            every trial with its scores, best first
    metrics.json              what `headstart train --json` prints, the classes, the confusion matrix, notes
    test_predictions.parquet  id, true and predicted class and probabilities of every test sample
    skipped.jsonl             samples that could not be used, and why
    head/                     the chosen head (heads/saving.py)
    figures/                  pictures, as PNG
    report.html               all of it for a person, in one file

A run is built beside its place and renamed into it, so that it is there whole or not at all.
"""

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cache import HeadstartError
from extract import BackboneSpec, Columns
from heads import save_head
from pipelines.config import Config
from pipelines.environment import environment
from pipelines.errors import RunError, UsageError
from pipelines.extract import Extraction, spec_of
from pipelines.task import Task
from pipelines.train import Result


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
    write_report: Callable[[Path, dict[str, Any]], None],
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
        Called with the folder and the metrics to add figures and report.
    """
    building = folder.parent / f".{folder.name}.building-{os.getpid()}"
    try:
        building.mkdir(parents=True)
        settled = config.model_copy(update={"store": str(Path(store).resolve())})
        (building / "config.yaml").write_text(settled.to_yaml(), encoding="utf-8")
        _write_json(building / "environment.json", environment())
        (building / "skipped.jsonl").write_text(extraction.skipped_jsonl(), encoding="utf-8")
        _write_tables(building, extraction, result)
        metrics = summarize(folder, extraction, task, result, seconds)
        _write_json(building / "metrics.json", metrics)
        backbone = next(
            spec_of(backbone)
            for backbone, features in zip(config.backbones, extraction.features, strict=True)
            if features.recipe.id == result.selected.recipe
        )
        expects = {
            "backbone": dataclasses.asdict(backbone),
            "recipe": result.selected.recipe,
            "output": result.selected.output,
        }
        save_head(result.head, building / "head", expects)
        write_report(building, metrics)
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)
    except OSError as error:
        raise RunError(f"{folder}: the run could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return metrics


def summarize(folder: Path, extraction: Extraction, task: Task, result: Result, seconds: dict[str, float]) -> dict[str, Any]:
    """Return a run's outcome: the fields of `headstart train --json`, and what the report needs besides."""
    winner = result.selected
    return {
        "run": str(folder),
        "extract": extraction.to_json(),
        "trials": len(result.trials),
        "failed_trials": sum(trial.error is not None for trial in result.trials),
        "selected": {
            "head": winner.head,
            "params": winner.params,
            "backbone": winner.backbone,
            "output": winner.output,
            "validation": {name: score.mean for name, score in winner.scores.items()},
        },
        "test": {name: dataclasses.asdict(estimate) for name, estimate in result.metrics.items()},
        "samples": {"development": len(task.development), "test": int(task.test.sum())},
        "classes": result.classes,
        "confusion": result.confusion.tolist(),
        "notes": task.notes,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


@dataclasses.dataclass(frozen=True)
class SavedRun:
    """What `predict` needs of a run: its head, and the features that the head is for."""

    head: Any
    backbone: BackboneSpec
    recipe: str
    output: str
    store: str
    device: str
    columns: Columns


def read_run(folder: Path) -> SavedRun:
    """Read a run folder back.

    Raises
    ------
    UsageError
        If it is no run.
    RunError
        If its head cannot be read.
    """
    from heads import load_head
    from pipelines.config import load_config

    if not (folder / "metrics.json").is_file():
        raise UsageError(f"{folder}: is not a run folder (it has no metrics.json); `headstart train` makes one")
    try:
        saved = load_head(folder / "head")
        config = load_config(folder / "config.yaml")
        backbone = BackboneSpec(**saved.expects["backbone"])
        recipe, output = str(saved.expects["recipe"]), str(saved.expects["output"])
    except (ValueError, KeyError, TypeError, HeadstartError) as error:
        raise RunError(f"{folder}: cannot be used: {error}") from error
    columns = Columns(config.data.text, pair=config.data.pair)
    return SavedRun(saved.head, backbone, recipe, output, config.store, config.device, columns)


def _write_tables(folder: Path, extraction: Extraction, result: Result) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    trials = [
        {
            "rank": rank,
            "head": trial.head,
            "params": json.dumps(trial.params, default=str),
            "backbone": trial.backbone,
            "output": trial.output,
            **{name: score.mean for name, score in trial.scores.items()},
            **{f"{name}_std": score.deviation for name, score in trial.scores.items()},
            "fit_seconds": trial.fit_seconds,
            "error": trial.error,
        }
        for rank, trial in enumerate(result.trials, 1)
    ]
    pq.write_table(pa.Table.from_pylist(trials), folder / "trials.parquet")
    predictions: dict[str, Any] = {
        "id": [extraction.samples.ids[row] for row in result.rows.tolist()],
        "label": [result.classes[code] for code in result.true],
        "predicted": [result.classes[code] for code in result.predicted],
    }
    if result.probabilities is not None:
        predictions |= {f"probability:{name}": result.probabilities[:, code] for code, name in enumerate(result.classes)}
    pq.write_table(pa.table(predictions), folder / "test_predictions.parquet")


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
