"""What all heads share that are trained step by step: settings, and the way from X and y to a trained module and back."""

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import _check_sample_weight, _check_y, check_is_fitted
from torch import nn

from heads.batches import FeatureBlocks, block_size
from heads.callbacks import Callback
from heads.checkpoints import fingerprint
from heads.devices import training_device
from heads.held_out import choose_held_out, make_score
from heads.inputs import float_type, read_features
from heads.limits import (
    ABOVE_ZERO,
    BELOW_ONE,
    CLASS_WEIGHT,
    DEVICE,
    FOREVER,
    FROM_ONE,
    FROM_ZERO,
    Limits,
    check_parameters,
    one_of,
)
from heads.losses import ERRORS, CrossEntropy, Deviation, LabelCrossEntropy, Loss
from heads.plan import TrainingPlan
from heads.scaling import Scaling, fit_scaling, no_scaling
from heads.schedules import OPTIMIZERS, SCHEDULES
from heads.scores import ClassifierHead, sigmoid, softmax
from heads.targets import as_column, class_weights, encode_known, encode_targets, plain_labels
from heads.training import Data, outputs, train

PREDICTED_AT_ONCE = 8192
TOKENS_AT_ONCE = 256
NOT_IN_MARK = ("callbacks", "checkpoint", "device", "module", "random_state")


@dataclass(frozen=True)
class Encoded:
    """Targets as a module is trained on them.

    Attributes
    ----------
    values
        Class codes `[n]`, an indicator `[n, c]`, or standardised values `[n, m]`.
    codes
        Class codes `[n]` to stratify by, or None.
    weight
        Of each sample `[n]`, from its class.
    loss
        What the training makes small.
    """

    values: np.ndarray
    codes: np.ndarray | None
    weight: np.ndarray
    loss: Loss


@dataclass(eq=False, repr=False, kw_only=True)
class TrainedHead(BaseEstimator):
    """Settings of a training; each head adds its own.

    Parameters
    ----------
    lr, weight_decay, batch_size, max_epochs, patience, optimizer, momentum, schedule, warmup, factor, every, clip_norm, \
accumulate, mixup, ema, checkpoint
        See `TrainingPlan`.
    standardize
        Whether features are standardised by the training data's weighted mean and deviation.
    validation_fraction
        Share of the samples held out for early stopping, where `fit` gets no validation data. With fewer than 100 samples none
        is, and all epochs run.
    metric
        Which weights are the best: None for the lowest validation loss, a scikit-learn scorer's name (`accuracy`, `f1_macro`,
        ...), or a scorer; of equal scores that with the lower validation loss.
    callbacks
        `Callback` objects; copies of them are told what happens, and are at `callbacks_` afterwards.
    block_rows
        Samples that are read from X at a time and shuffled together with those of seven other places; None for all where X is
        in memory, and for about 4 MiB where it stays on disk or takes more than two fifths of a GPU's free memory.
    device
        `auto` (CUDA if there is one, else CPU), or a torch device.
    random_state
        Fixes weights, held-out part, dropout and batches.

    Attributes
    ----------
    module_
        The trained module.
    history_
        Losses, scores and learning rates by epoch.
    """

    lr: float = 1e-3
    weight_decay: float = 1e-2
    batch_size: int = 512
    max_epochs: int = 60
    patience: int = 5
    validation_fraction: float = 0.1
    metric: Any = None
    optimizer: str = "adamw"
    momentum: float = 0.9
    schedule: str = "cosine"
    warmup: float = 0.0
    factor: float = 0.1
    every: int = 10
    clip_norm: float | None = None
    accumulate: int = 1
    mixup: float = 0.0
    ema: float = 0.0
    standardize: bool = True
    callbacks: Sequence[Callback] = ()
    checkpoint: str | None = None
    block_rows: int | None = None
    device: str = "auto"
    random_state: Any = 0

    _parameter_constraints: ClassVar[Limits] = {
        "lr": [ABOVE_ZERO],
        "weight_decay": [FROM_ZERO],
        "batch_size": [FROM_ONE],
        "max_epochs": [FROM_ONE],
        "patience": [FROM_ONE, FOREVER],
        "validation_fraction": [BELOW_ONE],
        "optimizer": [one_of(*OPTIMIZERS)],
        "momentum": [BELOW_ONE],
        "schedule": [one_of(*SCHEDULES)],
        "warmup": [BELOW_ONE],
        "factor": [ABOVE_ZERO],
        "every": [FROM_ONE],
        "clip_norm": [None, ABOVE_ZERO],
        "accumulate": [FROM_ONE],
        "mixup": [FROM_ZERO],
        "ema": [BELOW_ONE],
        "standardize": ["boolean"],
        "block_rows": [None, FROM_ONE],
        "device": DEVICE,
        "random_state": ["random_state"],
    }
    takes_tokens = False
    saved_arrays: ClassVar[tuple[str, ...]] = ("mean:d", "scale:d")
    saved_values: ClassVar[tuple[str, ...]] = ()

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, validation: tuple[Any, Any] | None = None
    ) -> Any:
        """Fit to features and targets.

        Parameters
        ----------
        X
            `[n, d]`; `[n, v, d]` for views, of which every step draws one and predictions are averaged; tokens for heads that
            take them; or an array-like of these shapes that stays on disk (a memory map, an HDF5 dataset, rows of a store).
        y
            Labels `[n]`, an indicator `[n, c]` or sets of labels; for a regressor values `[n]` or `[n, m]`.
        sample_weight
            `[n]`.
        groups
            `[n]`; a group is never both trained on and held out.
        validation
            Features and targets to watch, instead of a held-out part.
        """
        plan, device = self.plan(), training_device(self.device)
        check_parameters(self)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        X = read_features(self, X, tokens=self.takes_tokens, reset=True)
        check_consistent_length(X, y)
        _check_y(as_column(y), multi_output=True)
        dtype = float_type(X)
        rows = np.empty((len(X), 1), dtype)
        weight = _check_sample_weight(sample_weight, rows, dtype=dtype, copy=True, ensure_non_negative=True)
        encoded = self._encode(y, weight)
        weight *= encoded.weight.astype(dtype)
        scaling = fit_scaling(X, weight) if self.standardize else no_scaling(X, self.n_features_in_)
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        share = self.validation_fraction if validation is None else 0.0
        held_out = choose_held_out(len(X), encoded.codes, groups, share, seed)
        data = self._data(X, encoded.values, weight, np.flatnonzero(~held_out), device)
        watched = self._data(X, encoded.values, weight, np.flatnonzero(held_out), device) if held_out.any() else None
        if validation is not None:
            watched = self._read_validation(*validation, device)
        score = None
        if self.metric is not None and watched is not None:
            score = make_score(self.metric, self, self._decode(watched.y.cpu().numpy()))
        self.callbacks_ = copy.deepcopy(list(self.callbacks))
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            self.module_ = self._build().to(device, getattr(torch, dtype.name))
            self._check_module(data)
            mark = "" if self.checkpoint is None else self._mark(seed, data, watched)
            self.history_ = train(self.module_, data, watched, plan, encoded.loss, seed, score, self.callbacks_, mark)
        self.n_iter_ = len(self.history_.train_loss)
        return self

    def plan(self) -> TrainingPlan:
        """Return how this head trains."""
        return TrainingPlan(**{field.name: getattr(self, field.name) for field in dataclasses.fields(TrainingPlan)})

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the module's outputs `[n, c]` for features as `fit` takes them, in float64."""
        check_is_fitted(self)
        X = read_features(self, X, tokens=self.takes_tokens, reset=False)
        device = next(self.module_.parameters()).device
        at_once = TOKENS_AT_ONCE if self.takes_tokens else PREDICTED_AT_ONCE
        blocks = FeatureBlocks(X, np.arange(len(X)), Scaling(self.mean_, self.scale_), device, at_once)
        found: np.ndarray = outputs(self.module_, blocks).double().cpu().numpy()
        if not np.isfinite(found).all():
            raise ValueError("the features are not all finite (NaN or infinity), or too large for this head")
        return found

    def _data(self, X: Any, values: np.ndarray, weight: np.ndarray, rows: np.ndarray, device: torch.device) -> Data:
        block = self.block_rows or block_size(X, device)
        blocks = FeatureBlocks(X, rows, Scaling(self.mean_, self.scale_), device, block)
        kind = np.int64 if values.ndim == 1 else weight.dtype
        y = torch.as_tensor(values[rows].astype(kind), device=device)
        return Data(blocks, y, torch.as_tensor(weight[rows], device=device))

    def _mark(self, seed: int, data: Data, watched: Data | None) -> str:
        """Tell this training from others: settings, first weights, targets, and what the features' scaling says of them."""
        settings = {name: value for name, value in self.get_params().items() if name not in NOT_IN_MARK}
        parts = [data, watched] if watched is not None else [data]
        tensors = [*self.module_.state_dict().values(), *(tensor for part in parts for tensor in (part.y, part.weight))]
        rows = [part.features.rows for part in parts if isinstance(part.features, FeatureBlocks)]
        arrays = [self.mean_, self.scale_, *rows, *(tensor.cpu().numpy() for tensor in tensors)]
        return fingerprint(f"{type(self).__name__} {settings} {seed}", arrays)

    def _read_validation(self, X: Any, y: Any, device: torch.device) -> Data:
        X = read_features(self, X, tokens=self.takes_tokens, reset=False)
        check_consistent_length(X, y)
        weight = np.ones(len(X), self.mean_.dtype)
        return self._data(X, self._encode_known(y), weight, np.arange(len(X)), device)

    def _build(self) -> nn.Module:
        """Return an untrained module for features of width `n_features_in_` and `_width()` outputs."""
        raise NotImplementedError

    def _check_module(self, data: Data) -> None:
        """See that a module that is not ours takes these features and gives as many numbers as there are to learn."""

    def _width(self) -> int:
        """Count the module's outputs."""
        raise NotImplementedError

    def _encode(self, y: Any, weight: np.ndarray) -> Encoded:
        """Take note of what the targets are, and return them as they are trained on."""
        raise NotImplementedError

    def _encode_known(self, y: Any) -> np.ndarray:
        """Return more targets of the same kind."""
        raise NotImplementedError

    def _decode(self, values: np.ndarray) -> np.ndarray:
        """Return targets as they came."""
        raise NotImplementedError


@dataclass(eq=False, repr=False, kw_only=True)
class TrainedClassifier(ClassifierHead, TrainedHead):
    """Settings of a trained classifier.

    Parameters
    ----------
    class_weight
        None, `balanced`, or class -> weight (of a label's positives where a sample may have several).
    label_smoothing, focal
        See `CrossEntropy`.

    Attributes
    ----------
    classes_
        `[c]`, sorted.
    multilabel_
        Whether a sample may have several of the classes.
    """

    class_weight: Any = None
    label_smoothing: float = 0.0
    focal: float = 0.0

    _parameter_constraints: ClassVar[Limits] = {
        "class_weight": CLASS_WEIGHT,
        "label_smoothing": [BELOW_ONE],
        "focal": [FROM_ZERO],
    }

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the classes' probabilities `[n, c]`; where a sample may have several, each stands for itself."""
        return self._probabilities(self._outputs(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each sample `[n]`, or an indicator `[n, c]` where it may have several."""
        return self._labels(self._outputs(X))

    def _encode(self, y: Any, weight: np.ndarray) -> Encoded:
        targets = encode_targets(y)
        self.classes_, self.multilabel_ = targets.classes, targets.multilabel
        by_class = class_weights(self.class_weight, targets)
        if not targets.multilabel:
            return Encoded(targets.values, targets.values, by_class, CrossEntropy(self.label_smoothing, self.focal))
        loss = LabelCrossEntropy(torch.as_tensor(by_class), self.label_smoothing, self.focal)
        return Encoded(targets.values, None, np.ones(len(targets.values)), loss)

    def _encode_known(self, y: Any) -> np.ndarray:
        return encode_known(y, self.classes_, self.multilabel_)

    def _decode(self, values: np.ndarray) -> np.ndarray:
        labels: np.ndarray = values.astype(int) if self.multilabel_ else self.classes_[values]
        return labels

    def _probabilities(self, found: np.ndarray) -> np.ndarray:
        return sigmoid(found) if self.multilabel_ else softmax(found)

    def _labels(self, found: np.ndarray) -> np.ndarray:
        return self._decode(found > 0 if self.multilabel_ else found.argmax(axis=1))

    def _width(self) -> int:
        return len(self.classes_)


@dataclass(eq=False, repr=False, kw_only=True)
class TrainedRegressor(RegressorMixin, TrainedHead):
    """Settings of a trained regressor. Values are standardised for the training.

    Parameters
    ----------
    loss
        `squared`, `absolute` or `huber` errors.
    """

    loss: str = "squared"

    _parameter_constraints: ClassVar[Limits] = {"loss": [one_of(*ERRORS)]}

    saved_arrays = ("mean:d", "scale:d", "target_mean:o", "target_scale:o")
    saved_values = ("single",)

    def predict(self, X: Any) -> np.ndarray:
        """Return the values `[n]` or `[n, m]`."""
        return self._labels(self._outputs(X))

    def _encode(self, y: Any, weight: np.ndarray) -> Encoded:
        if self.loss not in ERRORS:
            raise ValueError(f"`loss` is {self.loss!r}; it may be {', '.join(ERRORS)}")
        values = np.asarray(plain_labels(y), np.float64)
        if len(values) < 2:
            raise ValueError("there is 1 sample, and a regressor needs at least 2")
        self.single_ = values.ndim == 1
        values = values.reshape(len(values), -1)
        self.target_mean_ = np.average(values, axis=0, weights=weight)
        deviation = np.sqrt(np.average((values - self.target_mean_) ** 2, axis=0, weights=weight))
        self.target_scale_ = np.where(deviation > 0, deviation, 1.0)
        return Encoded(self._encode_known(values), None, np.ones(len(values)), Deviation(self.loss))

    def _encode_known(self, y: Any) -> np.ndarray:
        values = np.asarray(plain_labels(y), np.float64)
        standardised: np.ndarray = (values.reshape(len(values), -1) - self.target_mean_) / self.target_scale_
        return standardised

    def _decode(self, values: np.ndarray) -> np.ndarray:
        return self._labels(values)

    def _labels(self, found: np.ndarray) -> np.ndarray:
        values: np.ndarray = found * self.target_scale_ + self.target_mean_
        return values[:, 0] if self.single_ else values

    def _width(self) -> int:
        return len(self.target_mean_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
