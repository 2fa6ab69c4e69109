"""The MLP head: fully connected layers over standardised features."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import nn

from heads.targets import encode_labels, plain_labels
from heads.training import Data, TrainingPlan, train

SMALLEST_TO_SPLIT = 100


class MLPClassifier(nn.Module):
    """Fully connected layers with ReLU and dropout.

    Parameters
    ----------
    input_dim
        Width of the features.
    hidden_dims
        Width of each hidden layer.
    num_classes
        Width of the logits.
    dropout
        Probability with which a hidden unit is left out in training.
    """

    def __init__(self, input_dim: int, hidden_dims: Sequence[int], num_classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        widths = [input_dim, *hidden_dims]
        hidden = [
            layer
            for width, next_width in pairwise(widths)
            for layer in (nn.Linear(width, next_width), nn.ReLU(), nn.Dropout(dropout))
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], num_classes))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits `[b, c]` of features `[b, d]`."""
        logits: torch.Tensor = self.layers(features)
        return logits


class MLPHead(ClassifierMixin, BaseEstimator):
    """A multi-layer perceptron, trained with AdamW, a cosine schedule and early stopping on a part held out.

    Features are standardised by the training data's weighted mean and deviation, and the arithmetic is in their own type
    (float32 or float64). The held-out part is taken from the data given
    to `fit` when there are at least 100 samples; with fewer, all epochs run.

    Parameters
    ----------
    hidden
        Width of each hidden layer, or of the only one.
    dropout, lr, weight_decay, batch_size, max_epochs, patience
        See `MLPClassifier` and `TrainingPlan`.
    validation_fraction
        Share of the samples held out for early stopping.
    class_weight
        None, `balanced`, or class -> weight.
    device
        `auto` (CUDA if there is one, else CPU), or a torch device.
    random_state
        Fixes weights, held-out part, dropout and batches.

    Attributes
    ----------
    classes_
        `[c]`, sorted.
    module_
        The trained `MLPClassifier`.
    history_
        Losses by epoch.
    """

    def __init__(
        self,
        hidden: int | Sequence[int] = (256,),
        dropout: float = 0.0,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        batch_size: int = 512,
        max_epochs: int = 60,
        patience: int = 5,
        validation_fraction: float = 0.1,
        class_weight: Any = None,
        device: str = "auto",
        random_state: Any = 0,
    ) -> None:
        self.hidden = hidden
        self.dropout = dropout
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPHead":
        """Fit to features `[n, d]` and labels `[n]`, with weights `[n]` if given."""
        X, y = validate_data(self, X, None if y is None else plain_labels(y), dtype=(np.float32, np.float64))
        self.classes_, codes = encode_labels(y)
        weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        if self.class_weight is not None:
            weight = weight * compute_sample_weight(self.class_weight, self.classes_[codes]).astype(X.dtype)
        self.mean_, self.scale_ = _standardiser(X, weight)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        device = torch.device(self._device())
        held_out = self._hold_out(codes, seed)

        def data(rows: np.ndarray) -> Data:
            arrays = ((X[rows] - self.mean_) / self.scale_, codes[rows], weight[rows])
            return Data(*(torch.as_tensor(array, device=device) for array in arrays))

        plan = TrainingPlan(self.lr, self.weight_decay, self.batch_size, self.max_epochs, self.patience)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            self.module_ = self._build().to(device, getattr(torch, X.dtype.name))
            validation = data(np.flatnonzero(held_out)) if held_out.any() else None
            self.history_ = train(self.module_, data(np.flatnonzero(~held_out)), validation, plan, seed)
        self.n_iter_ = len(self.history_.train_loss)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the classes' probabilities `[n, c]`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=self.mean_.dtype, reset=False)
        device = next(self.module_.parameters()).device
        with torch.inference_mode():
            parts = [
                self.module_(torch.as_tensor((part - self.mean_) / self.scale_, device=device)).double().softmax(1).cpu()
                for part in np.array_split(X, -(-len(X) // 8192))
            ]
        return torch.cat(parts).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row `[n]`."""
        best = self.predict_proba(X).argmax(axis=1)
        labels: np.ndarray = self.classes_[best]
        return labels

    def _build(self) -> MLPClassifier:
        hidden = (self.hidden,) if isinstance(self.hidden, int | np.integer) else tuple(self.hidden)
        return MLPClassifier(self.n_features_in_, hidden, len(self.classes_), self.dropout)

    def _device(self) -> str:
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def _hold_out(self, codes: np.ndarray, seed: int) -> np.ndarray:
        """Choose the samples to watch while training: stratified where every class has two."""
        held_out = np.zeros(len(codes), bool)
        if len(codes) >= SMALLEST_TO_SPLIT and self.validation_fraction > 0:
            size = max(int(len(codes) * self.validation_fraction), len(self.classes_))
            counts = np.bincount(codes)
            stratify = codes if counts.min() >= 2 and len(codes) - size >= len(counts) else None
            _, chosen = train_test_split(np.arange(len(codes)), test_size=size, stratify=stratify, random_state=seed)
            held_out[chosen] = True
        return held_out


def _standardiser(X: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weighted mean and deviation `[d]` of features `[n, d]`; a deviation of zero becomes one."""
    mean = np.average(X, axis=0, weights=weight.astype(np.float64))
    variance = np.average((X - mean) ** 2, axis=0, weights=weight.astype(np.float64))
    scale = np.where(variance > 0, np.sqrt(variance), 1)
    return mean.astype(X.dtype), scale.astype(X.dtype)
