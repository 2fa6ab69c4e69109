"""Tuning a backbone phase by phase from the top, with a linear classifier on it."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from cache import FeatureStore
from extract.backbones.blocks import find_blocks
from heads import LinearClassifier, hold_out
from pipelines.config import Config
from pipelines.errors import TrainingError, UsageError
from pipelines.extract import Extraction
from pipelines.models.backbone_module import BackboneModule
from pipelines.models.freezing import find_parts
from pipelines.models.labelled import Labelled
from pipelines.models.model import FeatureBasedModel
from pipelines.models.trainer import FeatureBasedTrainer
from pipelines.outcome import Truth
from pipelines.task import Task
from pipelines.unfreeze_config import UnfreezePhase, default_phases


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What unfreezing gave: the model, what each phase did, and the phase whose weights were kept."""

    model: FeatureBasedModel
    trainer: FeatureBasedTrainer
    phases: list[dict[str, Any]]
    kept: int


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
    names = Truth.of_test(task).names
    classifier = LinearClassifier(module.width(), len(names) or 1)
    model = FeatureBasedModel(module, classifier, standardize=True, store=store, task=task.kind).to(module.device)
    torch.nn.init.zeros_(classifier.linear.weight)
    torch.nn.init.zeros_(classifier.linear.bias)
    model.classes = names or None
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
        score = (history.chosen_by[epoch], -history.validation_loss[epoch])
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
                f"validation_{history.metric}": history.validation_score[epoch],
                "seconds": round(time.monotonic() - began, 3),
            }
        )
    model.load_state_dict(weights)
    if kept + 1 < len(phases):
        note(f"phase {kept + 1} had the best validation: its weights are kept")
    return Tuned(model, trainer, told, kept)


def describe_tuning(tuned: Tuned, module: BackboneModule) -> dict[str, Any]:
    """Return what a run's `metrics.json` holds of its tuning."""
    return {
        "backbone": module.checkpoint.uri,
        "weights": module.checkpoint.weights,
        "metric": tuned.trainer.history.metric,
        "phases": tuned.phases,
        "kept_phase": tuned.kept + 1,
        "history": tuned.trainer.history.to_dict(),
        "cost": dataclasses.asdict(tuned.trainer.cost),
    }


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
