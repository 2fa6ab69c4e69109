"""The objectives of a stack of linear heads, evaluated for all of them in one pass over the features."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from heads.solvers.curvature import Coupled
from heads.solvers.descent import Evaluation
from heads.solvers.losses import Loss
from heads.solvers.products import product

TILES = {"cpu": (512, 1024)}
"""Logits in work at a time, heads' by samples: enough for products at full speed, and few enough to stay in the cache. Few
logits of a sample are taken of more samples at a time."""
LARGE_TILE = (4096, 2**14)
"""The same of a GPU, which computes for no longer than it takes to be told what: as many as its memory holds with ease."""
SHORT = 256
"""Samples without weight that are passed over only from this many in a row."""
THIN = 48
"""Columns of a product whose reading of the features takes as long as their multiplication: thin products are slow."""


@dataclass(frozen=True)
class Problems:
    """A stack of problems on the same features.

    Attributes
    ----------
    C
        `[b]`, inverse strengths of the penalty.
    weights
        `[w, n]`, sample weights; zero for what is not trained on.
    weight_of
        `[b]`, the row of `weights` that a problem uses.
    target_of
        `[b]`, the row of 0 and 1 that a problem learns, for `BinaryLoss`; zeros for `SoftmaxLoss`.
    group_of
        `[b]`, numbers from 0: problems of a group have one penalty and target and similar weights, as a trial's folds have.
    """

    C: np.ndarray
    weights: np.ndarray
    weight_of: np.ndarray
    target_of: np.ndarray
    group_of: np.ndarray

    def __len__(self) -> int:
        return len(self.C)

    def take(self, numbers: np.ndarray) -> "Problems":
        """Return some problems, their groups numbered anew."""
        groups = np.unique(self.group_of[numbers], return_inverse=True)[1]
        return Problems(self.C[numbers], self.weights, self.weight_of[numbers], self.target_of[numbers], groups)

    def centres(self) -> "Problems":
        """Return a problem for each group: its members' weights, averaged."""
        first = np.unique(self.group_of, return_index=True)[1]
        members = [tuple(sorted(self.weight_of[self.group_of == group])) for group in range(len(first))]
        kinds = list(dict.fromkeys(members))
        weights = np.stack([self.weights[list(kind)].mean(axis=0) for kind in kinds])
        weight_of = np.array([kinds.index(kind) for kind in members])
        return Problems(self.C[first], weights, weight_of, self.target_of[first], np.arange(len(first)))


class Stack:
    """The problems' objectives, divided by `C` and by their weights' sum, as scikit-learn divides them.

    The baseline is what intercepts alone reach. Under a strong penalty the objective hardly falls below it, yet all that the
    head says lies in that fall, so that the distance to the minimum is measured by both.
    """

    def __init__(self, values: torch.Tensor, loss: Loss, problems: Problems) -> None:
        def tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
            return torch.as_tensor(array, dtype=dtype, device=values.device)

        self.values, self.loss, self.project = values, loss, loss.project
        self.C = tensor(problems.C, torch.float64)
        self.weights = tensor(problems.weights, values.dtype)
        self.weight_of, self.target_of = tensor(problems.weight_of, torch.int64), tensor(problems.target_of, torch.int64)
        self._columns, self._rows = TILES.get(values.device.type, LARGE_TILE)
        self.runs = [used_runs(row != 0) for row in problems.weights]
        self._used = [sum(run.stop - run.start for run in runs) for runs in self.runs]
        self._squares: dict[int, torch.Tensor] = {}
        self.total = self.weights.sum(dim=1, dtype=torch.float64)[self.weight_of]
        kinds, kind_of = torch.unique(torch.stack([self.weight_of, self.target_of]), dim=1, return_inverse=True)
        untold = [loss.without_features(self.weights[weight], target) for weight, target in kinds.T]
        stacked = (torch.stack(part)[kind_of] for part in zip(*untold, strict=True))
        self.baseline, self.intercepts, self._own, self._shared = stacked

    def __len__(self) -> int:
        return len(self.C)

    def start(self) -> torch.Tensor:
        """Return the best points `[b, c, r + 1]` without any weights."""
        shape = (len(self), self.loss.columns, self.values.shape[1])
        points = torch.zeros(shape, dtype=self.values.dtype, device=self.values.device)
        points[..., -1] = self.intercepts
        return self.project(points)

    def __call__(self, problems: torch.Tensor, points: torch.Tensor) -> Evaluation:
        """Evaluate some problems at points `[b, c, r + 1]`."""
        value = torch.zeros(len(points), dtype=torch.float64, device=points.device)
        gradient = torch.empty_like(points)
        weight_of, target_of = self.weight_of[problems], self.target_of[problems]
        for tile, runs, row in self._tiles(weight_of, points.shape[1]):
            value[tile], gradient[tile] = self._sum_losses(runs, self.weights, row, points[tile], target_of[tile])
        return self._mean(problems, points, value, gradient)

    def at_centres(self, points: torch.Tensor, group_of: torch.Tensor) -> Evaluation:
        """Evaluate every problem at its group's point, of points `[g, c, r + 1]`.

        Where the problems of a group differ only in the samples that they leave out, as a trial's folds do, one pass serves
        them all: each adds up the parts of the samples that it has.
        """
        problems = torch.arange(len(self), device=points.device)
        members = [(group_of == group).nonzero()[:, 0] for group in range(len(points))]
        kinds: dict[tuple[int, ...], list[int]] = {}
        for group, found in enumerate(members):
            kinds.setdefault(tuple(self.weight_of[found].tolist()), []).append(group)
        parts = {rows: found for rows in kinds if (found := shared_parts(self.weights[list(rows)])) is not None}
        if len(parts) < len(kinds):
            return self(problems, points[group_of])
        value = torch.zeros(len(self), dtype=torch.float64, device=points.device)
        gradient = torch.empty((len(self), *points.shape[1:]), dtype=points.dtype, device=points.device)
        for rows, groups in kinds.items():
            weight, runs, has = parts[rows]
            for tile in torch.tensor(groups, device=points.device).split(max(self._columns // points.shape[1], 1)):
                target_of = self.target_of[torch.stack([members[group][0] for group in tile.tolist()])]
                sums = [self._sum_losses([slice(*run)], weight[None], 0, points[tile], target_of) for run in runs]
                values, gradients = (torch.stack(part, dim=1) for part in zip(*sums, strict=True))
                for place, group in enumerate(tile.tolist()):
                    value[members[group]] = has.double() @ values[place]
                    gradient[members[group]] = torch.tensordot(has, gradients[place], 1)
        return self._mean(problems, points[group_of], value, gradient)

    def _tiles(self, weight_of: torch.Tensor, columns: int) -> Iterator[tuple[torch.Tensor, list[slice], int | torch.Tensor]]:
        """Give places in `weight_of` `[b]` whose problems are evaluated at once, the runs of samples, and the rows of weights.

        Problems with the same row pass over the samples that they leave out. Where that leaves thin matrices, problems of
        all rows are evaluated on all samples instead.
        """
        most = max(self._columns // columns, 1)
        every = torch.arange(len(weight_of), device=weight_of.device).split(most)
        rows, place_of, counts = weight_of.unique(return_inverse=True, return_counts=True)
        apart = sum(
            self._used[row] * (count * columns + THIN * -(-count // most))
            for row, count in zip(rows.tolist(), counts.tolist(), strict=True)
        )
        if most > 1 and len(self.values) * (len(weight_of) * columns + THIN * len(every)) < apart:
            everything = [slice(0, len(self.values))]
            yield from ((tile, everything, weight_of[tile]) for tile in every)
            return
        for place, row in enumerate(rows.tolist()):
            for tile in (place_of == place).nonzero()[:, 0].split(most):
                yield tile, self.runs[row], row

    def _mean(self, problems: torch.Tensor, points: torch.Tensor, value: torch.Tensor, gradient: torch.Tensor) -> Evaluation:
        """Return the objectives and gradients whose sums of losses and of their gradients are given; the latter is used up."""
        total = self.total[problems]
        penalty = 1 / (self.C[problems] * total)
        gradient = gradient.mul_((1 / total).to(points.dtype)[:, None, None])
        weights = points[..., :-1]
        gradient[..., :-1] += penalty.to(points.dtype)[:, None, None] * weights
        return Evaluation(value / total + penalty / 2 * weights.flatten(1).norm(dim=1).double() ** 2, gradient)

    def _sum_losses(
        self,
        runs: list[slice],
        weights: torch.Tensor,
        row: int | torch.Tensor,
        points: torch.Tensor,
        target_of: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return losses `[b]` and gradients of problems over some runs of samples, with a row of weights or one each `[b]`."""
        heads, columns, width = points.shape
        flat = points.reshape(heads * columns, width)
        value = torch.zeros(heads, dtype=torch.float64, device=points.device)
        gradient = torch.zeros_like(flat)
        most = max(self._rows, self._rows * self._columns // (heads * columns))
        for rows in (part for run in runs for part in split_run(run.start, run.stop, most)):
            block = self.values[rows]
            logits = product(flat, block.T).view(heads, columns, -1)
            found = self.loss(logits, rows, weights[row, rows], target_of)
            value += found.value
            gradient += product(found.residual.view(heads * columns, -1), block)
        return value, gradient.view_as(points)

    def coupled(self) -> Coupled:
        """Return the Hessians at `start`."""
        dtype = self.values.dtype
        power = product(self.weights, self.values.square())[self.weight_of] / self.total[:, None].to(dtype)
        return Coupled(self._own, self._shared, power, 1 / (self.C * self.total))

    def curvatures(self, number: int, point: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what `invert_strong` asks for.

        The samples that one problem uses, `[k, r + 1]`, the sums of their squares `[r + 1]`, and the second derivatives
        `[c, k]` of its mean loss.
        """
        row = int(self.weight_of[number])
        runs = self.runs[row]
        values = self.values[runs[0]] if len(runs) == 1 else torch.cat([self.values[rows] for rows in runs])
        weight = torch.cat([self.weights[row, rows] for rows in runs])
        if row not in self._squares:
            self._squares[row] = values.square().sum(dim=0)
        return (
            values,
            self._squares[row],
            self.loss.curvature(product(point, values.T)) * (weight / self.total[number].to(weight.dtype)),
        )


def used_runs(used: np.ndarray) -> list[slice]:
    """Cover the samples that are used, `[n]`, by slices, leaving out long runs of others."""
    places = np.flatnonzero(used)
    breaks = np.flatnonzero(np.diff(places) > SHORT)
    edges = zip(places[np.r_[0, breaks + 1]], places[np.r_[breaks, -1]] + 1, strict=True)
    return [slice(start, stop) for start, stop in edges]


def split_run(start: int, stop: int, most: int) -> list[slice]:
    """Cut a run of samples into slices of at most so many."""
    edges = np.linspace(start, stop, -(-(stop - start) // most) + 1).astype(int)
    return [slice(*pair) for pair in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]


def shared_parts(weights: torch.Tensor) -> tuple[torch.Tensor, list[tuple[int, int]], torch.Tensor] | None:
    """Return what rows of weights `[w, n]` have in common, if they differ only in the samples they leave out.

    Returns
    -------
    weight, parts, has
        The weights `[n]` of samples that are not left out, (start, stop) of parts of the samples, and which rows have which
        parts `[w, p]`. None where a sample's weights differ otherwise, or the parts are too many to be worth it.
    """
    weight = weights.amax(dim=0)
    used = weights != 0
    if not torch.equal(weights, used * weight):
        return None
    changes = (used[:, 1:] != used[:, :-1]).any(dim=0).nonzero()[:, 0] + 1
    edges = [0, *changes.tolist(), weights.shape[1]]
    if len(edges) - 1 > 2 * len(weights):
        return None
    parts = [(start, stop) for start, stop in pairwise(edges) if used[:, start].any()]
    return weight, parts, torch.stack([used[:, start] for start, _ in parts], dim=1).to(weights.dtype)


def order_samples(weights: np.ndarray) -> np.ndarray:
    """Return an order of samples in which those that the same rows of `weights` `[w, n]` leave out stand together."""
    return np.lexsort(np.packbits(weights == 0, axis=0)[::-1])
