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
import torch

from cache import FeatureStore
from extract.backbones.blocks import find_blocks
from extract.extractor import match_samples
from heads import Decision, LinearClassifier, LinearHead, hold_out, score_predictions
from pipelines.backbone_config import OutputChoice
from pipelines.backbone_module import BackboneModule
from pipelines.columns import read_columns
from pipelines.config import Config, Head
from pipelines.config_file import load_config
from pipelines.errors import TrainingError, UsageError
from pipelines.extract import Extraction, extract_config, spec_of
from pipelines.held_out import predict_raw, true_codes
from pipelines.labelled import Labelled
from pipelines.model import FeatureBasedModel
from pipelines.outcome import Truth, answer_test
from pipelines.run import choose_run_folder, write_run
from pipelines.task import Task, make_task
from pipelines.train import Member, Result
from pipelines.trainer import FeatureBasedTrainer
from pipelines.trials import SCORES, Score, Trial
from pipelines.unfreeze_config import UnfreezePhase, default_phases

BACKBONE = "backbone"
"""The run's folder that holds the tuned backbone."""

TUNING = "tuning.yaml"
"""The run's file that holds the config it came from."""


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What unfreezing gave: the model, what each phase did, and the phase whose weights were kept."""

    model: FeatureBasedModel
    trainer: FeatureBasedTrainer
    phases: list[dict[str, Any]]
    kept: int


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
    frozen = extract_config(one, store, progress=bars)
    if len(outputs := frozen.features[0].outputs) > 1:
        raise UsageError(f"{config.where('outputs')}: unfreezing trains on one output, and these are {', '.join(outputs)}")
    if frozen.table is not None:
        raise UsageError(
            f"{config.where('data')}: these data are read a slice at a time, and unfreezing needs all samples in memory"
        )
    task = make_task(frozen, config)
    for line in task.notes:
        note(line)
    samples, checkpoint = match_samples(frozen.samples, spec_of(config.backbones[0]))
    module = BackboneModule.load(spec_of(config.backbones[0]), checkpoint.offer.takes, outputs[0], config.device)
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
        record = {"unfreeze": _record(tuned, module)}
        return write_run(folder, told, extraction, task, result, store or config.store, seconds, report, record)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def tune(
    config: Config,
    module: BackboneModule,
    extraction: Extraction,
    task: Task,
    store: FeatureStore,
    bars: Any = None,
    note: Callable[[str], None] = print,
) -> Tuned:
    """Train a backbone and a linear classifier phase by phase, and leave them with the best phase's weights.

    Parameters
    ----------
    config
        Whose `unfreeze` says how.
    module
        The backbone.
    extraction, task
        The samples, and which of them train and validate.
    store
        Keeps features, and what frozen blocks give.
    bars, note
        Told the progress, and in a line what is done.
    """
    choice = config.unfreeze
    training, watched = _parts(config, extraction, task)
    classes = len(task.classes)
    classifier = LinearClassifier(module.width(), classes)
    model = FeatureBasedModel(module, classifier, standardize=True, store=store).to(module.device)
    torch.nn.init.zeros_(classifier.linear.weight)
    torch.nn.init.zeros_(classifier.linear.bias)
    model.classes = task.classes.tolist()
    trainer = FeatureBasedTrainer(
        model,
        training,
        watched,
        learning_rate=choice.lr,
        batch_size=choice.batch_size,
        weight_decay=choice.weight_decay,
        label_smoothing=choice.label_smoothing,
        class_weight=choice.class_weight,
        metric=choice.metric,
        augment=choice.augment,
        cache_boundary=choice.cache,
        seed=choice.seed,
        say=note,
        progress=bars,
    )
    phases = choice.phases or default_phases(len(find_blocks(module)))
    _check_phases(config, module, phases)
    told, best, kept, weights = [], (-np.inf, -np.inf), 0, {}
    for number, phase in enumerate(phases):
        began = time.monotonic()
        note(f"phase {number + 1} of {len(phases)}")
        _unfreeze(trainer, phase)
        trainer.train(
            phase.epochs,
            phase.lr,
            head_learning_rate=phase.head_lr,
            layer_decay=phase.decay,
            layer_rates=dict(phase.rates.items()),
            schedule=phase.schedule,
            patience=phase.patience,
        )
        history = trainer.history
        epoch = history.kept[-1]
        score = (history.validation_accuracy[epoch] if choice.metric == "accuracy" else 0.0, -history.validation_loss[epoch])
        if score > best:
            best, kept = score, number
            weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        learning = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
        told.append(
            {
                "phase": number + 1,
                "epochs": len(history) - history.phases[-1],
                "learning": learning,
                "validation_loss": history.validation_loss[epoch],
                "validation_accuracy": history.validation_accuracy[epoch],
                "seconds": round(time.monotonic() - began, 3),
            }
        )
    model.load_state_dict(weights)
    if kept + 1 < len(phases):
        note(f"phase {kept + 1} had the best validation: its weights are kept")
    return Tuned(model, trainer, told, kept)


def linear_head(model: FeatureBasedModel) -> LinearHead:
    """Return a model's scaling and linear classifier as one head that says the same of the features as they come."""
    assert isinstance(model.classifier, LinearClassifier)
    names = np.asarray(model.classes)
    order = np.argsort(names)
    weight = model.classifier.linear.weight.detach().cpu().double().numpy()
    bias = model.classifier.linear.bias.detach().cpu().double().numpy()
    if model.feature_mean is not None and model.feature_scale is not None:
        weight = weight / model.feature_scale.cpu().double().numpy()
        bias = bias - weight @ model.feature_mean.cpu().double().numpy()
    weight, bias = weight[order], bias[order]
    if len(names) == 2:
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    head = LinearHead()
    head.classes_, head.n_features_in_, head.n_iter_ = names[order], weight.shape[1], 0
    head.coef_, head.intercept_ = weight.astype(np.float32), bias.astype(np.float32)
    return head


def _check(config: Config) -> None:
    if config.kind != "classification":
        place = config.where("task" if config.kind == "regression" else "data")
        raise UsageError(f"{place}: unfreezing learns one class a sample, and this is {config.kind}")
    if len(config.backbones) > 1:
        raise UsageError(f"{config.where('backbones', 1)}: unfreezing tunes one backbone; leave out the others")
    if config.backbones[0].views is not None:
        raise UsageError(f"{config.where('backbones', 0, 'views')}: is of frozen backbones; set `unfreeze.augment` instead")


def _parts(config: Config, extraction: Extraction, task: Task) -> tuple[Labelled, Labelled]:
    """Return the samples that train, and those that are watched meanwhile: the validation split, or some held out."""
    labels: list[Any] = [None] * len(extraction.samples)
    for row, label in zip(task.rows.tolist(), task.labels.tolist(), strict=True):
        labels[row] = label
    data, development = Labelled(extraction.samples, labels), task.development
    if task.validation is not None:
        watched = task.validation[development]
    else:
        groups = None if task.groups is None else task.groups[development]
        try:
            watched = hold_out(task.labels[development], groups, config.unfreeze.validation, config.unfreeze.seed)
        except ValueError as error:
            raise TrainingError(f"{config.where('unfreeze')}: nothing can be held out for validation: {error}") from error
    return data.take(task.rows[development[~watched]]), data.take(task.rows[development[watched]])


def _check_phases(config: Config, module: BackboneModule, phases: Sequence[UnfreezePhase]) -> None:
    """See that every part that a phase names is there, before anything costs time."""
    from pipelines.freezing import find_parts

    blocks = len(find_blocks(module))
    for number, phase in enumerate(phases):
        if phase.top is not None and phase.top > blocks:
            raise UsageError(
                f"{config.where('unfreeze', 'phases', number, 'top')}: {phase.top} is more than the {blocks} blocks there are"
            )
        for key, names in (("layers", phase.layers if isinstance(phase.layers, list) else ()), ("rates", phase.rates)):
            for name in names:
                try:
                    find_parts(module, name)
                except UsageError as error:
                    raise UsageError(f"{config.where('unfreeze', 'phases', number, key)}: {error}") from error


def _unfreeze(trainer: FeatureBasedTrainer, phase: UnfreezePhase) -> None:
    if phase.layers == "all":
        trainer.model.unfreeze()
    elif phase.layers or phase.top:
        trainer.unfreeze_layers(phase.layers or [-1 - height for height in range(phase.top or 0)])


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
    head = linear_head(tuned.model)
    columns = read_columns(features, features.outputs, task.rows, None)
    watched = _rows_of(tuned.trainer.eval_data, extraction, task)
    raw = predict_raw(head, columns.X[watched], task)
    scores = {
        name: score_predictions(raw, true_codes(task, watched), name)
        for name in dict.fromkeys((config.metric, *SCORES["classification"]))
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


def _record(tuned: Tuned, module: BackboneModule) -> dict[str, Any]:
    return {
        "backbone": module.checkpoint.uri,
        "weights": module.checkpoint.weights,
        "phases": tuned.phases,
        "kept_phase": tuned.kept + 1,
        "history": dataclasses.asdict(tuned.trainer.history),
        "cost": dataclasses.asdict(tuned.trainer.cost),
    }
