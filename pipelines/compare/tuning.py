"""The cells with the backbone in the loop: full and partial fine-tuning, LP-FT and LoRA, each one training."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from extract.acceleration import arithmetic
from extract.backbones.blocks import find_blocks
from extract.devices import choose_device, use_processors
from extract.options import LoopOptions
from heads import Callback, LinearClassifier, LinearHead, SweepCV, TrainingState, score_predictions
from heads.losses import CrossEntropy
from heads.plan import TrainingPlan
from heads.scaling import fit_scaling
from heads.scores import softmax
from heads.training import Data, outputs, train
from pipelines.compare.batches import prepare_batches
from pipelines.compare.job import Job
from pipelines.compare.methods import training_length
from pipelines.compare.stages import Stages, import_library
from pipelines.compare_config import CompareChoice
from pipelines.config_file import load_config
from pipelines.extract import load_data, spec_of
from pipelines.models.backbone_module import BackboneModule
from pipelines.models.freezing import rates_by_depth
from pipelines.models.model import FeatureBasedModel
from pipelines.models.sample_batches import SampleBatches, make_augment
from pipelines.models.settling import LEAST_SCALE
from pipelines.models.training_rates import CLIP

HEAD_RATE = 1e-3
"""The head's highest learning rate; below it the head learns ten times as fast as the top block."""

SCALED_ON = 1024
"""Training samples whose features say how the head's inputs are scaled."""

PROBE_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Values of `C` among which validation chooses the probe that LP-FT begins with."""

NEVER = -20.0
"""Log-odds of a class without training samples in a probe."""


def fine_tune(job: Job) -> tuple[dict[str, Any], np.ndarray]:
    """Train once, stop by validation, keep the best epoch, and answer for the test samples."""
    config = load_config(Path(job.config))
    choice, device = config.compare, choose_device(config.device)
    assert job.split is not None
    split = job.split
    use_processors(device)
    import_library(config.backbones[0].name)
    stages = Stages(device)
    torch.manual_seed(job.seed)
    with stages.stage("load"):
        samples = load_data(config.data)
        backbone = BackboneModule.load(spec_of(config.backbones[0]), samples.kind, job.outputs[0], device)
        samples = backbone.taken(samples)
        head = LinearClassifier(backbone.width(), job.classes)
        model = FeatureBasedModel(backbone, head, standardize=True).to(backbone.device)
    with stages.stage("prepare"):
        inputs = [[samples.inputs[row] for row in rows.tolist()] for rows in (split.train, split.validation, split.test)]
        augment = make_augment(choice.augment if backbone.kind == "image" else None, job.seed)
        training, at_train = prepare_batches(backbone, inputs[0], choice.batch_size, augment)
        watched, at_watched = prepare_batches(backbone, inputs[1], choice.batch_size)
        codes, watched_codes = split.train_codes[at_train], split.validation_codes[at_watched]
        _scale(model, training, job.seed, everything=job.method == "lpft")
    if job.method == "lpft":
        with stages.stage("probe"):
            _probe(model, training, codes, watched, watched_codes, config.metric)
    learn(job.method, model, choice)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    counter, lr = _Learning(), job.params["lr"]
    plan = make_plan(choice, lr, len(training))
    groups = make_groups(model, lr, choice, by_depth=job.method != "lora")

    def score(found: torch.Tensor) -> float:
        return score_predictions(softmax(found.float().cpu().numpy().astype(float)), watched_codes, config.metric)

    with stages.stage("train"):
        history = train(
            model,
            _data(training, codes, model),
            _data(watched, watched_codes, model),
            plan,
            CrossEntropy(),
            job.seed,
            score,
            [counter],
            groups=groups,
        )
    with stages.stage("answer"):
        tested, at_tested = prepare_batches(backbone, inputs[2], choice.batch_size)
        found = _answers(model, tested)
        answers = np.empty_like(found)
        answers[at_tested] = found
    return stages.to_json() | {
        "validation": history.score[history.best_epoch],
        "chosen": job.params,
        "trainable": counter.numbers,
        "parameters": parameters,
        "epochs": len(history.train_loss),
        "best_epoch": history.best_epoch + 1,
        "steps": counter.steps,
        "history": {"train_loss": history.train_loss, "validation_loss": history.validation_loss, "score": history.score},
    }, answers


def learn(method: str, model: FeatureBasedModel, choice: CompareChoice) -> None:
    """Have the parts of a frozen model learn that a method trains."""
    backbone = model.backbone
    if method == "lora":
        from pipelines.compare.lora import add_lora

        assert isinstance(backbone, BackboneModule)
        add_lora(backbone, choice.rank)
    elif method == "partial":
        for parameter in top_parameters(backbone, choice.top_blocks):
            parameter.requires_grad_(True)
    else:
        backbone.requires_grad_(True)
    model.train()


def top_parameters(backbone: nn.Module, blocks: int) -> list[nn.Parameter]:
    """Return the parameters of a backbone's top blocks and of all that comes after them; of all where there are no more."""
    names = find_blocks(backbone)
    parameters = list(backbone.parameters())
    if len(names) <= blocks:
        return parameters
    first = next(backbone.get_submodule(names[-blocks]).parameters())
    return parameters[next(place for place, parameter in enumerate(parameters) if parameter is first) :]


def make_plan(choice: CompareChoice, lr: float, samples: int) -> TrainingPlan:
    """Return how to train on so many samples."""
    epochs, patience = training_length(choice, samples)
    return TrainingPlan(
        lr=min(HEAD_RATE, 10 * lr),
        weight_decay=choice.weight_decay,
        batch_size=choice.batch_size,
        max_epochs=epochs,
        patience=patience,
        schedule=choice.schedule,
        warmup=choice.warmup,
        clip_norm=CLIP,
    )


def make_groups(model: FeatureBasedModel, lr: float, choice: CompareChoice, by_depth: bool) -> list[dict[str, Any]]:
    """Return the optimizer's groups: rates by depth, and no weight decay on biases, norms and whatever else is a vector."""
    head = [parameter for parameter in model.classifier.parameters() if parameter.requires_grad]
    decay = choice.layer_decay if by_depth else 1.0
    rated = [{"params": head, "lr": min(HEAD_RATE, 10 * lr)}, *rates_by_depth(model.backbone, lr, decay)]
    groups = []
    for group in rated:
        for vectors, weight_decay in ((False, choice.weight_decay), (True, 0.0)):
            chosen = [parameter for parameter in group["params"] if (parameter.ndim < 2) == vectors]
            if chosen:
                groups.append({"params": chosen, "lr": group["lr"], "weight_decay": weight_decay})
    return groups


class _Learning(Callback):
    """Counts the parameters that take a gradient, and the steps."""

    def __init__(self) -> None:
        self.numbers = self.steps = 0

    def on_gradients(self, state: TrainingState) -> None:
        if not self.numbers:
            self.numbers = sum(p.numel() for p in state.model.parameters() if p.grad is not None)
        self.steps = state.step + 1


def _data(batches: SampleBatches, codes: np.ndarray, model: FeatureBasedModel) -> Data:
    device = next(model.classifier.parameters()).device
    return Data(batches, torch.as_tensor(codes, device=device), torch.ones(len(codes), device=device))


def _scale(model: FeatureBasedModel, training: SampleBatches, seed: int, everything: bool) -> None:
    """Measure how features are spread, so that the head's inputs have mean zero and deviation one to begin with."""
    chosen = np.arange(len(training))
    if not everything and len(chosen) > SCALED_ON:
        chosen = np.sort(np.random.default_rng(seed).permutation(chosen)[:SCALED_ON])
    some = SampleBatches(training.collate, [training.samples[row] for row in chosen.tolist()], training.batch)
    scaling = fit_scaling(_features(model, some), np.ones(len(some)))
    scale = np.maximum(scaling.scale, LEAST_SCALE * np.median(scaling.scale))
    model.set_scaling(torch.as_tensor(scaling.mean), torch.as_tensor(scale), len(some))


def _features(model: FeatureBasedModel, batches: SampleBatches) -> np.ndarray:
    """Return features `[n, d]` by the arithmetic that extraction uses."""
    model.eval()
    with torch.inference_mode(), arithmetic(model.adapted("a comparison").device.type, LoopOptions()):
        return torch.cat([model.features(*part.inputs()) for part in batches.in_order()]).float().cpu().numpy()


def _answers(model: FeatureBasedModel, batches: SampleBatches) -> np.ndarray:
    with arithmetic(model.adapted("a comparison").device.type, LoopOptions()):
        return outputs(model, batches).float().cpu().numpy()


def _probe(
    model: FeatureBasedModel,
    training: SampleBatches,
    codes: np.ndarray,
    watched: SampleBatches,
    watched_codes: np.ndarray,
    metric: str,
) -> None:
    """Give the head the weights of a linear probe on the frozen backbone (Kumar et al. 2022)."""
    assert model.feature_mean is not None
    mean, scale = model.feature_mean.cpu().numpy(), model.feature_scale.cpu().numpy()  # type: ignore[union-attr]
    X = (np.concatenate([_features(model, training), _features(model, watched)]) - mean) / scale
    fold = (np.arange(len(codes)), np.arange(len(codes), len(X)))
    sweep = SweepCV(LinearHead(), {"C": list(PROBE_PENALTIES)}, scoring=metric, cv=[fold], refit=False)
    sweep.fit(X, np.concatenate([codes, watched_codes]))
    best = PROBE_PENALTIES[int(np.nanargmax(sweep.cv_results_["mean_test_score"]))]
    put_probe(model.classifier.linear, LinearHead(C=best).fit(X[fold[0]], codes))


def put_probe(linear: nn.Linear, head: LinearHead) -> None:
    """Copy a fitted head into a linear layer; classes that it has not met become as good as impossible."""
    coef, intercept = head.coef_, head.intercept_
    if len(head.classes_) == 2:
        coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.fill_(NEVER)
        at = torch.as_tensor(head.classes_.astype(np.int64), device=linear.weight.device)
        linear.weight[at] = torch.as_tensor(coef, dtype=linear.weight.dtype, device=linear.weight.device)
        linear.bias[at] = torch.as_tensor(intercept, dtype=linear.bias.dtype, device=linear.bias.device)
