"""Few-shot curves: how well a linear head does with 1, 2, 4 ... samples a class, over many draws."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_array

from heads.solvers.logistic import needed_gap, solve_logistic
from heads.solvers.losses import BinaryLoss, SoftmaxLoss
from heads.solvers.products import product
from heads.solvers.rotation import RotatedFeatures, rotate
from heads.solvers.stack import Problems
from heads.targets import encode_known, encode_labels, plain_labels

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class FewShotCurve:
    """Accuracies by samples a class.

    Attributes
    ----------
    sizes
        `[s]`, samples drawn of each class; of a class with fewer, all. The last one is at most the largest class's number.
    accuracy
        `[seeds, s]`, on the test samples.
    """

    sizes: np.ndarray
    accuracy: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over the draws `[s]`."""
        means: np.ndarray = self.accuracy.mean(axis=0)
        return means

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation over the draws `[s]`."""
        deviations: np.ndarray = self.accuracy.std(axis=0, ddof=1 if len(self.accuracy) > 1 else 0)
        return deviations


def few_shot_curve(
    X: Any,
    y: Any,
    X_test: Any,
    y_test: Any,
    sizes: Sequence[int] = SIZES,
    seeds: int = 20,
    C: float = 1.0,
    random_state: int = 0,
) -> FewShotCurve:
    """Fit a linear head on a few samples of each class, again and again.

    All draws and sizes are solved in one stack; a draw's smaller sizes are part of its larger ones. The heads are those that
    `LinearHead(C=C)` would fit to the samples drawn.

    Parameters
    ----------
    X, y
        Features `[n, d]` and labels `[n]` to draw from.
    X_test, y_test
        What every head is tested on.
    sizes
        Samples a class; those beyond the largest class are one size, which is all of it.
    seeds
        Draws.
    C
        Inverse of the penalty's strength.
    random_state
        Fixes the draws.

    Raises
    ------
    ValueError
        If a size is below 1, or a test label is none of the training labels.
    """
    features, tested = (check_array(part, dtype=(np.float64, np.float32)) for part in (X, X_test))
    classes, codes = encode_labels(plain_labels(y))
    true = encode_known(y_test, classes, multilabel=False)
    steps = np.unique(np.asarray(sizes, int))
    if not len(steps) or steps[0] < 1:
        raise ValueError(f"`sizes` are {list(sizes)}; each must be at least 1")
    steps = np.unique(np.minimum(steps, np.bincount(codes).max()))  # more than there are is all there are
    rotated, random = rotate(features), np.random.default_rng(random_state)
    draws = [_draw(codes, int(steps[-1]), random) for _ in range(seeds)]
    solution = _solve(rotated, codes, len(classes), draws, steps, C)
    coef, intercept = rotated.to_weights(solution)
    scores = product(torch.from_numpy(tested.astype(np.float32)), torch.from_numpy(coef).float().flatten(0, 1).T)
    scores = scores.view(len(tested), *coef.shape[:2]).numpy() + intercept
    best = (scores[..., 0] > 0).astype(int) if len(classes) == 2 else scores.argmax(axis=2)
    return FewShotCurve(steps, (best == true[:, None]).mean(axis=0).reshape(seeds, len(steps)))


def _draw(codes: np.ndarray, size: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw up to `size` samples of each class: return their rows, and each one's place among those of its class."""
    order = random.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    place = np.arange(len(order)) - np.searchsorted(codes[order], codes[order])
    return order[place < size], place[place < size]


def _solve(
    rotated: RotatedFeatures,
    codes: np.ndarray,
    classes: int,
    draws: Sequence[tuple[np.ndarray, np.ndarray]],
    steps: np.ndarray,
    C: float,
) -> torch.Tensor:
    """Fit a head on every draw and size: all in one stack, over the draws' samples one after the other."""
    rows, place = (np.concatenate(parts) for parts in zip(*draws, strict=True))
    draw = np.repeat(np.arange(len(draws)), [len(found) for found, _ in draws])
    weights = (draw == np.arange(len(draws))[:, None, None]) & (place < steps[:, None])
    target = torch.as_tensor(codes[rows])
    loss: SoftmaxLoss | BinaryLoss = SoftmaxLoss(target, classes) if classes > 2 else BinaryLoss(target[None].float())
    numbers = np.arange(len(draws) * len(steps))
    weights = weights.reshape(len(numbers), -1).astype(np.float32)
    problems = Problems(np.full(len(numbers), float(C)), weights, numbers, np.zeros_like(numbers), numbers)
    features = replace(rotated, values=rotated.values[torch.as_tensor(rows)])
    return solve_logistic(features, loss, problems, gap=needed_gap(len(draws[0][0]))).rotated
