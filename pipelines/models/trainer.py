"""`FeatureBasedTrainer`: trains a model's classifier through the feature cache, and parts of its backbone in the loop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from heads import Callback, Estimate
from heads.plan import TrainingPlan
from heads.training import train
from pipelines.errors import TrainingError, UsageError
from pipelines.measure import Cost, measured
from pipelines.models.backbone_module import BackboneModule
from pipelines.models.freezing import LAYER_DECAY
from pipelines.models.labelled import Labelled, read_labelled, with_labels
from pipelines.models.model import FeatureBasedModel
from pipelines.models.model_features import ModelFeatures, features_of, logits_of, promising_rows
from pipelines.models.objectives.catalog import OBJECTIVES
from pipelines.models.phases import Phase, choose_phase
from pipelines.models.sample_batches import Augment, make_augment
from pipelines.models.settling import settle_scaling, settle_targets
from pipelines.models.training_history import FollowedLoss, Judge, TrainerHistory, Watcher
from pipelines.models.training_rates import Rates, check_counts, check_positive, plan_training
from pipelines.trackers import trackers_of


class FeatureBasedTrainer:
    """Trains a `FeatureBasedModel`.

    While the whole backbone is frozen and no augmentation is asked for, features never change: they are extracted once into
    the model's store, and the classifier is trained on them. As soon as blocks of the backbone learn, what the frozen ones
    below them give is extracted once, and only the blocks above run. The result is that of running the whole model at every
    step, to rounding; that is done where samples are augmented, a backbone cannot be split, or the disk is too small.

    Parameters
    ----------
    model
        What is trained, in place.
    train_data, eval_data
        Samples with labels, in any form that `read_labelled` takes; also as `train_dataset` and `eval_dataset`. With
        evaluation data the best epoch's weights are kept, else the last ones. The model's task says what a label is: a class;
        a list of labels, or 0 and 1 for each; a number, or a list of numbers.
    learning_rate
        The classifier's highest.
    batch_size, weight_decay, schedule
        Of the training; see `heads.plan.TrainingPlan`.
    patience
        Epochs without a better evaluation after which training stops; None for never.
    metric
        Which epoch is the best: `loss`, or one of `pipelines.metric_names.METRICS` for the model's task; None for `accuracy`,
        of several labels `f1_macro`, of numbers `r2`. Of epochs with equal scores that with the lower evaluation loss.
    class_weight, label_smoothing
        As for heads; of classes and labels alone.
    augment
        Changes samples every time they are drawn: `flip-crop`, `randaugment` or `augmix` for images, or a function from a
        sample to another. The backbone then runs in the loop.
    callbacks
        `heads.Callback` objects, told what happens; such as `GradientMonitor`.
    use_wandb
        Log to the Weights & Biases run that is on, or to a new one.
    tensorboard_writer
        A `SummaryWriter` to log to.
    use_mlflow
        Log to the MLflow run that is on, or to a new one.
    cache_boundary
        Whether what the frozen blocks give is kept while blocks above them learn, in the store, or of a plain module in memory;
        False runs them at every step.
    pieces
        Whether the texts of a batch go through a backbone that learns in pieces of similar lengths, where that is a CPU; the
        gradient is that of the batch.
    seed
        Fixes the batches, dropout and augmentation.
    say
        Told in a line what is done; None for silence.
    progress
        An `extract.loop.Progress`, told how the computation of what frozen blocks give goes.

    Attributes
    ----------
    history
        Losses and scores by epoch, over all calls of `train`.
    cost
        Seconds and peak memory of all calls of `train`.
    """

    def __init__(
        self,
        model: FeatureBasedModel,
        train_data: Any = None,
        eval_data: Any = None,
        *,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        learning_rate: float = 1e-3,
        batch_size: int = 32,
        weight_decay: float = 1e-2,
        schedule: str = "cosine",
        patience: int | None = None,
        metric: str | None = None,
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        augment: str | Augment | None = None,
        callbacks: Sequence[Callback] = (),
        use_wandb: bool = False,
        tensorboard_writer: Any = None,
        use_mlflow: bool = False,
        cache_boundary: bool = True,
        pieces: bool = True,
        seed: int = 0,
        say: Callable[[str], None] | None = print,
        progress: Any = None,
    ) -> None:
        objective = OBJECTIVES[model.task]
        self.metric = objective.check(metric, class_weight, label_smoothing)
        check_positive(learning_rate=learning_rate)
        check_counts(batch_size=batch_size, patience=patience)
        given = _one("train_data", train_data, "train_dataset", train_dataset)
        if given is None:
            raise UsageError("a trainer needs train_data: samples with their labels")
        evaluated = _one("eval_data", eval_data, "eval_dataset", eval_dataset)
        self.model = model
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.patience = patience
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.augment = make_augment(augment, seed)
        self.callbacks = list(callbacks)
        self.cache_boundary = cache_boundary
        self.pieces = pieces
        self.progress = progress
        self.seed = seed
        self.say = say or (lambda line: None)
        self.train_data = self._labelled(given, "train_data")
        self.eval_data = None if evaluated is None else self._labelled(evaluated, "eval_data")
        self.history = TrainerHistory(objective.followed())
        self.cost = Cost()
        self.trackers = trackers_of(use_wandb, tensorboard_writer, use_mlflow)
        for tracker in self.trackers:
            tracker.config(self.settings())

    def _labelled(self, data: Any, what: str) -> Labelled:
        read = read_labelled(data, what)
        kept = with_labels(read)
        if left_out := len(read) - len(kept):
            self.say(f"{left_out:,} of {len(read):,} samples of {what} have no label and are left out")
        return kept

    def train(
        self,
        num_epochs: int = 5,
        learning_rate: float | None = None,
        freeze_backbone: bool | None = None,
        *,
        head_learning_rate: float | None = None,
        layer_decay: float = LAYER_DECAY,
        layer_rates: Mapping[str | int, float] | None = None,
        schedule: str | None = None,
        patience: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> TrainerHistory:
        """Train for some epochs, going on from the weights that are there.

        Parameters
        ----------
        num_epochs
            Passes over the training data.
        learning_rate
            While the backbone is frozen the classifier's, by default the trainer's. Else that of the backbone's topmost block
            (2e-5 by default), of which every block below gets `layer_decay` of the next.
        freeze_backbone
            True freezes all of the backbone first, False unfreezes all of it; None leaves it as it is.
        head_learning_rate
            The classifier's, where parts of the backbone learn too; by default ten times theirs, but not above the trainer's.
        layer_decay
            What a block's learning rate is to that of the block above it.
        layer_rates
            Rates of parts of their own, by names as `unfreeze_layers` takes them.
        schedule, patience
            Of this call; by default the trainer's.
        callbacks
            Told of this call, besides the trainer's.

        Returns
        -------
        TrainerHistory
            Of all calls so far.

        Raises
        ------
        TrainingError
            If the data do not allow it.
        UsageError
            If a number cannot be used, or a rate is given for what does not learn; nothing has been computed then.
        """
        check_counts(num_epochs=num_epochs, patience=patience)
        check_positive(learning_rate=learning_rate, head_learning_rate=head_learning_rate, layer_decay=layer_decay)
        check_positive(**{f"layer_rates[{name!r}]": rate for name, rate in (layer_rates or {}).items()})
        model = self.model
        if freeze_backbone is True:
            model.freeze()
        elif freeze_backbone is False:
            model.unfreeze()
        device = next(model.classifier.parameters()).device
        rates = Rates(learning_rate, head_learning_rate, layer_decay, layer_rates or {})
        plan, groups = self._plan(num_epochs, rates, schedule or self.schedule, patience)
        with measured(device) as cost:
            settle_targets(model, self.train_data, self.eval_data, self.say)
            phase = choose_phase(
                model, self.train_data, self.eval_data, self.batch_size, self.augment, self.cache_boundary, self.say,
                self.progress, pieces=self.pieces,
            )  # fmt: skip
            settle_scaling(model, self.train_data, self.batch_size)
            self._run(phase, plan, groups, callbacks)
        self.cost.add(cost)
        model.trained = self.cost
        if self.trackers:
            from pipelines.tracking import track_phase

            track_phase(self)
        return self.history

    def unfreeze_layers(self, names: Sequence[str | int]) -> list[str]:
        """Let parts of the backbone learn from the next `train` on, besides those that do already.

        Parameters
        ----------
        names
            Parts' names or ends of them (`layer.11`), or blocks' numbers (11, or -1 for the topmost).

        Returns
        -------
        list of str
            All parameters of the backbone that learn now.

        Raises
        ------
        UsageError
            If there is no such part, with the nearest names; nothing is changed then.
        """
        learning = self.model.unfreeze(list(names))
        count = sum(p.numel() for p in self.model.backbone.parameters() if p.requires_grad)
        self.say(f"{len(learning)} parameters of the backbone learn now ({count:,} numbers)")
        return learning

    def evaluate(self, data: Any = None) -> dict[str, Estimate]:
        """Return metrics with their intervals on some data, by default the evaluation data.

        Raises
        ------
        UsageError
            If there are neither.
        """
        given = self.eval_data if data is None else with_labels(read_labelled(data))
        if given is None:
            raise UsageError("evaluate needs data: give some, or give the trainer eval_data")
        objective = self.model.objective
        rows = promising_rows(self.model, given)
        usable = given.take(rows)
        targets = objective.encode(usable.labels or (), usable.places)
        predictions, answered = self._predictions(given)
        return objective.estimates(targets[np.searchsorted(rows, answered)], predictions)

    def predict(self, data: Any) -> list[Any]:
        """Return what is said of every sample: the most probable class, a list of labels, or a number (a list where there are
        several); None where one cannot be used.
        """
        given = read_labelled(data)
        predictions, rows = self._predictions(given)
        answers: list[Any] = [None] * len(given)
        for row, answer in zip(rows.tolist(), self.model.objective.answers(predictions), strict=True):
            answers[row] = answer
        return answers

    def predict_proba(self, data: Any) -> np.ndarray:
        """Return the classes' probabilities `[n, c]`, or each label's own `[n, k]`; NaN where a sample cannot be used.

        Raises
        ------
        UsageError
            If the model says numbers.
        """
        if self.model.task == "regression":
            raise UsageError("a regression has no probabilities; `predict` gives its numbers")
        given = read_labelled(data)
        predictions, rows = self._predictions(given)
        probabilities = np.full((len(given), predictions.shape[1]), np.nan)
        probabilities[rows] = predictions
        return probabilities

    def settings(self) -> dict[str, Any]:
        """Return what the training is set to, for a tracker."""
        names = ("learning_rate", "batch_size", "weight_decay", "schedule", "patience", "metric", "label_smoothing", "seed")
        backbone = self.model.backbone
        name = backbone.checkpoint.uri if isinstance(backbone, BackboneModule) else type(backbone).__name__
        told = {
            "backbone": name,
            "task": self.model.task,
            "classifier": type(self.model.classifier).__name__,
            "train_samples": len(self.train_data),
        }
        return told | {name: getattr(self, name) for name in names}

    def features(self, data: Labelled, keep: bool = False) -> ModelFeatures:
        """Return the model's features of samples, through the cache where they are those of its checkpoint."""
        return features_of(self.model, data, self.batch_size, keep)

    def _predictions(self, given: Labelled) -> tuple[np.ndarray, np.ndarray]:
        """Return what is said of the samples that can be used, and their rows `[m]`."""
        objective = self.model.objective
        features = self.features(given)
        return objective.predictions(logits_of(self.model, features)), features.rows

    def _tell(self, epoch: int, numbers: dict[str, float]) -> None:
        for tracker in self.trackers:
            tracker.scalars(numbers, epoch)

    def _plan(
        self, epochs: int, rates: Rates, schedule: str = "cosine", patience: int | None = None
    ) -> tuple[TrainingPlan, list[dict[str, Any]] | None]:
        return plan_training(
            self.model,
            rates,
            self.learning_rate,
            epochs,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            patience=patience or self.patience or epochs,
            schedule=schedule,
        )

    def _run(self, phase: Phase, plan: TrainingPlan, groups: Any, callbacks: Sequence[Callback]) -> None:
        objective = self.model.objective
        watched = None if self.eval_data is None else phase.data(self.eval_data, None)
        data = phase.data(self.train_data, self.class_weight)
        loss = FollowedLoss(objective.loss(data.y.cpu().numpy(), self.class_weight, self.label_smoothing), objective)
        judge = None if watched is None else Judge(objective, loss, watched.y, watched.weight, self.metric)
        seed = self.seed + len(self.history.phases)
        told = [Watcher(self.history, loss, judge, self._tell), *self.callbacks, *callbacks]
        cuda = [data.y.device] if data.y.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda), self.model.in_training_units():
            torch.manual_seed(seed)
            try:
                train(phase.module, data, watched, plan, loss, seed, judge, told, groups=groups)
            except FloatingPointError as error:
                raise TrainingError(f"{error}".replace("`lr`", "`learning_rate`").replace(" or set `clip_norm`", "")) from error
        self.model.eval()
        self.say(self.history.line())


def _one(name: str, value: Any, other_name: str, other: Any) -> Any:
    if value is not None and other is not None:
        raise UsageError(f"give either {name} or {other_name}, which are the same")
    return other if value is None else value
