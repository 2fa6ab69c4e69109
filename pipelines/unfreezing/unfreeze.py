"""Gradual unfreezing: a backbone tuned phase by phase, and a run folder that answers with it.

The tuned backbone is saved in the run, in its library's own format, and is an ordinary backbone from then on; its classifier is
an ordinary linear head on its features. So whatever is done with a run can be done with this one.
"""

import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from extract.extractor import match_samples
from heads import Decision, score_predictions
from pipelines.backbone_config import OutputChoice
from pipelines.columns import read_columns
from pipelines.config import Config, Head
from pipelines.config_file import load_config
from pipelines.errors import UsageError
from pipelines.extract import Extraction, Prospect, extract_config, spec_of
from pipelines.held_out import predict_raw, true_codes
from pipelines.models.backbone_module import BackboneModule
from pipelines.models.freezing import refuse_float16
from pipelines.models.labelled import Labelled
from pipelines.models.objectives.catalog import OBJECTIVES
from pipelines.outcome import Truth, answer_test
from pipelines.run import choose_run_folder, write_run
from pipelines.task import Task, check_samples, make_task
from pipelines.train import Member, Result
from pipelines.trials import SCORES, Score, Trial
from pipelines.unfreezing.phased_tuning import Tuned, describe_tuning, tune
from pipelines.unfreezing.tuned_head import tuned_head

BACKBONE = "backbone"
"""The run's folder that holds the tuned backbone."""

TUNING = "tuning.yaml"
"""The run's file that holds the config it came from."""


def run_unfreeze(
    config_file: Path,
    store: str | None,
    run: str | None,
    changes: Sequence[str],
    bars: Any,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Tune a config's backbone phase by phase, test it once, and write a run folder; return what `metrics.json` holds.

    Parameters
    ----------
    config_file, changes
        The config and `a.b=value` changes to it.
    store, run
        Folders to use instead of the config's store and `runs/<name>-<time>`.
    bars
        Told the progress of extractions.
    note
        Told in a line what is done.

    Raises
    ------
    UsageError
        If the config asks for what cannot be, with its line.
    TrainingError
        If the data do not allow it.
    """
    from pipelines.report import write_report
    from pipelines.report.figures import write_figures

    began = time.monotonic()
    config = load_config(config_file, changes)
    _check(config)
    folder = choose_run_folder(config, run).absolute()
    one = config if isinstance(config.outputs, list) else config.model_copy(update={"outputs": None})
    if config.data.streams:
        raise UsageError(
            f"{config.where('data')}: these data are read a slice at a time, and unfreezing needs all samples in memory"
        )

    def check(found: Prospect) -> None:
        [outputs] = found.kept
        if len(outputs) > 1:
            raise UsageError(f"{config.where('outputs')}: unfreezing trains on one output, and these are {', '.join(outputs)}")
        check_samples(config, found)

    frozen = extract_config(one, store, progress=bars, check=check)
    [output] = frozen.features[0].outputs
    task = make_task(frozen, config)
    for line in task.notes:
        note(line)
    samples, checkpoint = match_samples(frozen.samples, spec_of(config.backbones[0]))
    module = BackboneModule.load(spec_of(config.backbones[0]), checkpoint.offer.takes, output, config.device)
    if not module.adapter.can_be_saved():
        raise UsageError(f"{config.where('backbones', 0)}: {checkpoint.uri} cannot be saved once it is tuned")
    training = time.monotonic()
    tuned = tune(config, module, dataclasses.replace(frozen, samples=samples), task, frozen.features[0].store, bars, note)
    trained = time.monotonic() - training
    building = folder.parent / f".{folder.name}.tuned-{os.getpid()}"
    try:
        module.save(building / BACKBONE)
        told, extraction = _extract_tuned(config, module, building / BACKBONE, store or config.store, bars)
        task = make_task(extraction, told)
        result = _result(told, extraction, task, tuned, trained)

        def report(run_folder: Path) -> None:
            shutil.move(building / BACKBONE, run_folder / BACKBONE)
            (run_folder / TUNING).write_text(config.to_yaml(), encoding="utf-8")
            write_figures(run_folder, told, result)
            write_report(run_folder, told, extraction, task, result.selected.recipe, result.selected.outputs)

        told = _at(told, module, folder / BACKBONE)
        seconds = {"extract": frozen.seconds + extraction.seconds, "train": trained, "total": time.monotonic() - began}
        record = {"unfreeze": describe_tuning(tuned, module)}
        return write_run(folder, told, extraction, task, result, store or config.store, seconds, report, record)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _check(config: Config) -> None:
    choice = config.unfreeze
    for key, asked in (
        ("metric", (choice.metric, None, 0.0)),
        ("class_weight", (None, choice.class_weight, 0.0)),
        ("label_smoothing", (None, None, choice.label_smoothing)),
    ):
        try:
            OBJECTIVES[config.kind].check(*asked)
        except UsageError as error:
            raise UsageError(f"{config.where('unfreeze', key)}: {error}") from error
    if len(config.backbones) > 1:
        raise UsageError(f"{config.where('backbones', 1)}: unfreezing tunes one backbone; leave out the others")
    if config.backbones[0].views is not None:
        raise UsageError(f"{config.where('backbones', 0, 'views')}: is of frozen backbones; set `unfreeze.augment` instead")
    refuse_float16(config.backbones[0].precision, f"{config.where('backbones', 0, 'precision')}: ")


def _at(config: Config, module: BackboneModule, folder: Path) -> Config:
    """Return a config whose backbone is the tuned one in a folder, with a linear head."""
    backbone = config.backbones[0].model_copy(update={"name": f"{module.checkpoint.scheme}:{folder}"})
    output = module.output
    choice = OutputChoice.model_validate(
        {"pooling": output.pooling} | ({} if output.layer is None else {"layer": output.layer})
    )
    heads = [Head.model_validate({"kind": "linear"})]
    return config.model_copy(update={"backbones": [backbone], "outputs": [choice], "heads": heads})


def _extract_tuned(config: Config, module: BackboneModule, folder: Path, store: str, bars: Any) -> tuple[Config, Extraction]:
    told = _at(config, module, folder)
    return told, extract_config(told, store, progress=bars)


def _result(config: Config, extraction: Extraction, task: Task, tuned: Tuned, seconds: float) -> Result:
    """Test the tuned backbone's head once, on the features that it gives."""
    features = extraction.features[0]
    head = tuned_head(tuned.model)
    columns = read_columns(features, features.outputs, task.rows, None)
    watched = _rows_of(tuned.trainer.eval_data, extraction, task)
    raw = predict_raw(head, columns.X[watched], task)
    scores = {
        name: score_predictions(raw, true_codes(task, watched), name)
        for name in dict.fromkeys((config.metric, *SCORES[task.kind]))
    }
    trial = Trial(
        head="linear",
        params={},
        backbone=features.recipe.backbone,
        recipe=features.recipe.id,
        outputs=features.outputs,
        width=sum(columns.widths),
        scores={name: Score(score, 0.0) for name, score in scores.items()},
        folds={name: (score,) for name, score in scores.items()},
        fit_seconds=seconds,
    )
    tested = predict_raw(head, columns.X[task.test], task)
    classes, outcome = answer_test(tested, True, Decision(), Truth.of_test(task), config.selection.seed)
    return Result(
        trials=[trial],
        selected=trial,
        members=[Member(trial, head, 1.0)],
        decision=Decision(),
        classes=classes,
        outcome=outcome,
        validation=scores,
        nested=None,
        comparison=None,
        notes=[],
        seconds=seconds,
    )


def _rows_of(data: Labelled | None, extraction: Extraction, task: Task) -> np.ndarray:
    """Return where samples stand in a task `[m]`."""
    wanted = set(data.samples.ids if data is not None else ())
    ids = extraction.samples.ids
    return np.flatnonzero([ids[row] in wanted for row in task.rows.tolist()])
