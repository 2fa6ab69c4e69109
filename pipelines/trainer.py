"""`FeatureBasedTrainer`: trains a model's classifier through the feature cache, and parts of its backbone in the loop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from heads import Callback, Estimate, classification_metrics
from heads.plan import TrainingPlan
from heads.scaling import fit_scaling
from heads.scores import softmax
from heads.training import train
from pipelines.backbone_module import BackboneModule
from pipelines.errors import TrainingError, UsageError
from pipelines.freezing import LAYER_DECAY, rates_by_depth
from pipelines.labelled import Labelled, encode, find_classes, read_labelled, with_labels
from pipelines.measure import Cost, measured
from pipelines.model import FeatureBasedModel
from pipelines.model_features import ModelFeatures, features_of, logits_of
from pipelines.phases import Phase, choose_phase
from pipelines.sample_batches import Augment, collate_for, make_augment
from pipelines.training_history import CountingLoss, TrainerHistory, Watcher, accuracy_of

BACKBONE_RATE = 2e-5
"""Learning rate of a backbone's top block where none is given: what encoders are fine-tuned at (Devlin et al. 2019)."""

WARMUP, CLIP = 0.1, 1.0
"""Share of steps in which the rate rises, and bound on the gradients' norm, where a part of the backbone learns."""

LEAST_SCALE = 0.01
"""A feature's deviation counts as this share of the median one at least: one that hardly moves now may, once unfrozen."""

METRICS = ("accuracy", "loss")


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
        evaluation data the best epoch's weights are kept, else the last ones.
    learning_rate
        The classifier's highest.
    batch_size, weight_decay, schedule
        Of the training; see `heads.plan.TrainingPlan`.
    patience
        Epochs without a better evaluation after which training stops; None for never.
    metric
        `accuracy` or `loss`: which epoch is the best.
    class_weight, label_smoothing
        As for heads.
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
        Whether what the frozen blocks give is kept in the store while blocks above them learn; False runs them at every step.
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
        Losses and accuracies by epoch, over all calls of `train`.
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
        metric: str = "accuracy",
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
        if metric not in METRICS:
            raise UsageError(f"metric {metric!r} is not one; it may be {', '.join(METRICS)}")
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
        self.metric = metric
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.augment = make_augment(augment, seed)
        self.callbacks = list(callbacks)
        self.cache_boundary = cache_boundary
        self.pieces = pieces
        self.progress = progress
        self.seed = seed
        self.say = say or (lambda line: None)
        self.train_data = with_labels(read_labelled(given), "train_data")
        self.eval_data = None if evaluated is None else with_labels(read_labelled(evaluated), "eval_data")
        self.history = TrainerHistory()
        self.cost = Cost()
        self.trackers = _make_trackers(use_wandb, tensorboard_writer, use_mlflow)
        for tracker in self.trackers:
            tracker.config(self.settings())

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
            If a rate is given for what does not learn.
        """
        model = self.model
        if freeze_backbone is True:
            model.freeze()
        elif freeze_backbone is False:
            model.unfreeze()
        device = next(model.classifier.parameters()).device
        plan, groups = self._plan(
            num_epochs, learning_rate, head_learning_rate, layer_decay, layer_rates, schedule or self.schedule, patience
        )
        with measured(device) as cost:
            phase = choose_phase(
                model, self.train_data, self.eval_data, self.batch_size, self.augment, self.cache_boundary, self.say,
                self.progress, pieces=self.pieces,
            )  # fmt: skip
            self.say(phase.line)
            self._settle()
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
        given = self.eval_data if data is None else with_labels(read_labelled(data), "data")
        if given is None:
            raise UsageError("evaluate needs data: give some, or give the trainer eval_data")
        labels, features = given.labels or (), self.features(given)
        classes = self._classes()
        logits = logits_of(self.model, features)[:, : len(classes)]
        codes = encode([labels[row] for row in features.rows.tolist()], classes)
        return classification_metrics(codes, logits.argmax(axis=1), softmax(logits.astype(float)), len(classes))

    def predict(self, data: Any) -> list[Any]:
        """Return the most probable class of every sample; None where one cannot be used."""
        probabilities, classes = self.predict_proba(data), self._classes()
        return [None if np.isnan(row).any() else classes[int(row.argmax())] for row in probabilities]

    def predict_proba(self, data: Any) -> np.ndarray:
        """Return the classes' probabilities `[n, c]`; NaN where a sample cannot be used."""
        given = read_labelled(data)
        features = self.features(given)
        probabilities = np.full((len(given), len(self._classes())), np.nan)
        logits = logits_of(self.model, features)[:, : probabilities.shape[1]]
        probabilities[features.rows] = softmax(logits.astype(float))
        return probabilities

    def settings(self) -> dict[str, Any]:
        """Return what the training is set to, for a tracker."""
        names = ("learning_rate", "batch_size", "weight_decay", "schedule", "patience", "metric", "label_smoothing", "seed")
        backbone = self.model.backbone
        name = backbone.checkpoint.uri if isinstance(backbone, BackboneModule) else type(backbone).__name__
        told = {"backbone": name, "classifier": type(self.model.classifier).__name__, "train_samples": len(self.train_data)}
        return told | {name: getattr(self, name) for name in names}

    def features(self, data: Labelled, keep: bool = False) -> ModelFeatures:
        """Return the model's features of samples, through the cache where they are those of its checkpoint."""
        return features_of(self.model, data, self.batch_size, keep)

    def _classes(self) -> list[Any]:
        if self.model.classes is None:
            raise UsageError("the model does not know its classes yet; call train first")
        return self.model.classes

    def _settle(self) -> None:
        """Find out the classes and the features' scaling, the first time."""
        model, labels = self.model, self.train_data.labels or ()
        if model.classes is None:
            width = self._width()
            model.classes = find_classes(labels, width)
            if len(set(labels)) < 2:
                raise TrainingError(f"all {len(labels)} samples are of class {labels[0]!r}; a classifier needs two classes")
            if len(model.classes) < width:
                named = ", ".join(map(str, model.classes))
                self.say(
                    f"the model has {width} outputs and the data {len(model.classes)} classes ({named}); the rest stay unused"
                )
        if model.needs_scaling:
            features = self.features(self.train_data, keep=True)
            scaling = fit_scaling(features.values, np.ones(len(features.rows)))
            scale = np.maximum(scaling.scale, LEAST_SCALE * np.median(scaling.scale))
            model.set_scaling(torch.as_tensor(scaling.mean), torch.as_tensor(scale), len(features.rows))

    def _tell(self, epoch: int, numbers: dict[str, float]) -> None:
        for tracker in self.trackers:
            tracker.scalars(numbers, epoch)

    def _width(self) -> int:
        """Count the model's outputs."""
        model, backbone = self.model, self.model.backbone
        model.eval()
        with torch.inference_mode():
            if not isinstance(backbone, BackboneModule):
                return int(model(collate_for(backbone)([self.train_data.samples.inputs[0]])).shape[1])
            return int(model.classify(backbone.features_of_one()).shape[1])

    def _plan(
        self,
        epochs: int,
        rate: float | None = None,
        head_rate: float | None = None,
        decay: float = LAYER_DECAY,
        given: Mapping[str | int, float] | None = None,
        schedule: str = "cosine",
        patience: int | None = None,
    ) -> tuple[TrainingPlan, list[dict[str, Any]] | None]:
        learns = not self.model.is_frozen
        head, groups = head_rate or rate or self.learning_rate, None
        if learns:
            top = rate or BACKBONE_RATE
            head = head_rate or min(self.learning_rate, 10 * top)
            own = [parameter for parameter in self.model.classifier.parameters() if parameter.requires_grad]
            groups = [{"params": own, "lr": head}, *rates_by_depth(self.model.backbone, top, decay, given)]
        elif given:
            raise UsageError("layer_rates are of parts that learn, and the backbone is frozen; call unfreeze_layers first")
        plan = TrainingPlan(
            lr=head,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            max_epochs=epochs,
            patience=patience or self.patience or epochs,
            schedule=schedule,
            warmup=WARMUP if learns else 0.0,
            clip_norm=CLIP if learns else None,
        )
        return plan, groups

    def _run(self, phase: Phase, plan: TrainingPlan, groups: Any, callbacks: Sequence[Callback]) -> None:
        loss, accuracies = CountingLoss(self.label_smoothing), []
        watched = None if self.eval_data is None else phase.data(self.eval_data, None)
        known = len(self._classes())

        def score(found: torch.Tensor) -> float:
            assert watched is not None
            accuracies.append(accuracy_of(found, watched.y, known))
            if self.metric == "accuracy":
                return accuracies[-1]
            return -float((loss.plain()(found, watched.y) * watched.weight).mean())

        seed = self.seed + len(self.history.phases)
        watcher = Watcher(self.history, loss, accuracies, self._tell)
        told = [watcher, *self.callbacks, *callbacks]
        data = phase.data(self.train_data, self.class_weight)
        with torch.random.fork_rng(devices=[data.y.device] if data.y.device.type == "cuda" else []):
            torch.manual_seed(seed)
            try:
                train(phase.module, data, watched, plan, loss, seed, score if watched else None, told, groups=groups)
            except FloatingPointError as error:
                raise TrainingError(f"{error}".replace("`lr`", "`learning_rate`").replace(" or set `clip_norm`", "")) from error
        self.model.eval()
        self.say(self.history.line())


def _one(name: str, value: Any, other_name: str, other: Any) -> Any:
    if value is not None and other is not None:
        raise UsageError(f"give either {name} or {other_name}, which are the same")
    return other if value is None else value


def _make_trackers(use_wandb: bool, writer: Any, use_mlflow: bool) -> list[Any]:
    if not use_wandb and writer is None and not use_mlflow:
        return []
    from pipelines.trackers import MlflowTracker, TensorBoardTracker, WandbTracker

    wanted: list[Any] = [WandbTracker()] if use_wandb else []
    wanted += [TensorBoardTracker(writer)] if writer is not None else []
    return [*wanted, *([MlflowTracker()] if use_mlflow else [])]
