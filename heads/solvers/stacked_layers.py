"""The layers of many multi-layer perceptrons side by side: losses, gradients and AdamW's steps for all of them at once.

All members see the same batch, so their first layers are one matrix product with it. Further layers are batched products of the
members with the same hidden layers (a `_Block`). Activations lie unit by unit, `[units, batch]`, so that every product reads
and writes what lies together in memory. Gradients are written out by hand, since autograd's own work takes as long as the
products of small layers. All numbers of all members lie in one row: one call steps all members with the same rate and decay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import nn

BETAS, EPSILON = (0.9, 0.999), 1e-8
AT_ONCE = 1024
"""Samples whose activations are held at a time where no gradient is needed."""

Layers = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, order=True)
class Member:
    """One perceptron of a stack.

    Attributes
    ----------
    hidden
        Widths of its hidden layers.
    dropout, lr, weight_decay
        Its settings.
    """

    hidden: tuple[int, ...]
    dropout: float
    lr: float
    weight_decay: float


@dataclass(frozen=True)
class StackData:
    """Features `[n, d]`, class codes `[n]` and weights `[n]`, on one device."""

    X: torch.Tensor
    y: torch.Tensor
    weight: torch.Tensor

    def __getitem__(self, rows: torch.Tensor | slice) -> "StackData":
        """Return some samples."""
        return StackData(self.X[rows], self.y[rows], self.weight[rows])


class StackedLayers:
    """The numbers of all members, in one row, and AdamW's state beside them.

    Parameters
    ----------
    members
        In ascending order.
    width, classes
        Of the features and the logits.
    rows
        The members' numbers, the means of their gradients and those of the gradients' squares, `[n]` each.
    steps
        AdamW's steps so far.
    """

    def __init__(
        self, members: Sequence[Member], width: int, classes: int, rows: tuple[torch.Tensor, ...], steps: torch.Tensor
    ) -> None:
        self.members, self.width, self.classes, self.steps = list(members), width, classes, steps
        self.numbers, self.means, self.squares = rows
        self.gradients = torch.zeros_like(self.numbers)
        self.places = _lay_out(self.members, width, classes)
        self.first, self.blocks = self._views()
        self.runs = self._runs()

    @classmethod
    def start(cls, members: Sequence[Member], width: int, classes: int, seed: int, like: torch.Tensor) -> "StackedLayers":
        """Give every member the weights that it would start from alone; type and device are those of `like`."""
        total = sum(part.stop - part.start for parts in _lay_out(members, width, classes) for part in parts)
        zeros = tuple(torch.zeros(total, dtype=like.dtype, device=like.device) for _ in range(3))
        stack = cls(members, width, classes, zeros, torch.zeros((), device=like.device))
        for member, parts in zip(members, stack.places, strict=True):
            flat = [tensor for layer in draw_layers(member.hidden, width, classes, seed, like)[0] for tensor in layer]
            for part, tensor in zip(parts, flat, strict=True):
                part.of(stack.numbers).copy_(tensor)
        return stack

    def keep(self, chosen: Sequence[int]) -> "StackedLayers":
        """Return a stack of some of the members, as they are."""
        members = [self.members[number] for number in chosen]
        zeros = tuple(self.numbers.new_zeros(count_numbers(members, self.width, self.classes)) for _ in range(3))
        stack = StackedLayers(members, self.width, self.classes, zeros, self.steps.clone())
        for place, number in enumerate(chosen):
            for mine, theirs in zip(stack.places[place], self.places[number], strict=True):
                for new, old in zip(zeros, (self.numbers, self.means, self.squares), strict=True):
                    mine.of(new).copy_(theirs.of(old))
        return stack

    def layers(self, number: int) -> Layers:
        """Return copies of a member's weights `[out, in]` and biases `[out]`."""
        flat = [part.of(self.numbers).clone() for part in self.places[number]]
        return list(zip(flat[::2], flat[1::2], strict=True))

    def logits(self, X: torch.Tensor, masks: Sequence[Sequence[torch.Tensor]] = ()) -> torch.Tensor:
        """Return logits `[k, c, b]` for features `[b, d]`."""
        weight, bias, _, _ = self.first
        found = torch.addmm(bias, weight, X.t())
        logits = found.new_empty(len(self.members), self.classes, len(X))
        for number, block in enumerate(self.blocks):
            block.forward(found[block.units], masks[number] if masks else (), logits[block.members])
        return logits

    def step(self, batch: StackData, masks: Sequence[Sequence[torch.Tensor]], share: float) -> torch.Tensor:
        """Take one step with a share of the learning rates; return the losses `[k]` before it."""
        logs = self.logits(batch.X, masks).log_softmax(dim=1)
        weight = batch.weight / batch.weight.sum().clamp(min=1e-12)
        losses = _weighted(logs, batch.y, weight)
        true = torch.zeros_like(logs[0]).scatter_(0, batch.y[None], 1.0)
        slopes = logs.exp_().sub_(true).mul_(weight)
        _, _, weight_slope, bias_slope = self.first
        units = slopes.new_empty(len(weight_slope), len(batch.y))
        for block in self.blocks:
            block.backward(slopes[block.members], units[block.units])
        torch.mm(units, batch.X, out=weight_slope)
        torch.sum(units, 1, out=bias_slope)
        self.steps += 1
        for (lr, decay), views in self.runs:
            torch._fused_adamw_(
                *views, [], [self.steps] * len(views[0]), lr=lr * share, beta1=BETAS[0], beta2=BETAS[1], weight_decay=decay,
                eps=EPSILON, amsgrad=False, maximize=False,
            )  # fmt: skip
        return losses

    def losses(self, data: StackData) -> torch.Tensor:
        """Return the weighted mean cross-entropies `[k]`."""
        weight = data.weight / data.weight.sum().clamp(min=1e-12)
        rows = [slice(start, start + AT_ONCE) for start in range(0, len(data.y), AT_ONCE)]
        return torch.stack([_weighted(self.logits(data.X[r]).log_softmax(dim=1), data.y[r], weight[r]) for r in rows]).sum(
            dim=0
        )

    def _views(self) -> tuple[tuple[torch.Tensor, ...], list["_Block"]]:
        units = sum(_widths(member, self.classes)[0] for member in self.members)
        split = units * self.width
        first = (
            self.numbers[:split].view(units, self.width), self.numbers[split : split + units, None],
            self.gradients[:split].view(units, self.width), self.gradients[split : split + units],
        )  # fmt: skip
        blocks, unit, done = [], 0, 0
        for hidden, found in groupby(self.members, key=lambda member: member.hidden):
            group = list(found)
            widths = _widths(group[0], self.classes)
            places = [self.places[done + number] for number in (0, len(group) - 1)]
            layers = []
            for depth in range(1, len(widths)):
                rows = [slice(places[0][part].start, places[1][part].stop) for part in (2 * depth, 2 * depth + 1)]
                shape = (len(group), widths[depth], widths[depth - 1])
                layers.append(
                    (
                        self.numbers[rows[0]].view(shape), self.numbers[rows[1]].view(*shape[:2], 1),
                        self.gradients[rows[0]].view(shape), self.gradients[rows[1]].view(shape[:2]),
                    )
                )  # fmt: skip
            members, taken = slice(done, done + len(group)), slice(unit, unit + len(group) * widths[0])
            blocks.append(_Block(hidden, [member.dropout for member in group], members, taken, layers))
            done, unit = members.stop, taken.stop
        return first, blocks

    def _runs(self) -> list[tuple[tuple[float, float], list[list[torch.Tensor]]]]:
        """Return (rate, decay) -> numbers, gradients and moments of the members that have them, in as few views as may be."""
        parts: dict[tuple[float, float], list[_Place]] = {}
        for member, places in zip(self.members, self.places, strict=True):
            parts.setdefault((member.lr, member.weight_decay), []).extend(places)
        runs = []
        for rates, places in parts.items():
            joined: list[list[int]] = []
            for place in sorted(places, key=lambda place: place.start):
                if joined and joined[-1][1] == place.start:
                    joined[-1][1] = place.stop
                else:
                    joined.append([place.start, place.stop])
            rows = (self.numbers, self.gradients, self.means, self.squares)
            runs.append((rates, [[row[start:stop] for start, stop in joined] for row in rows]))
        return runs


class _Block:
    """Members with the same hidden layers: all their layers but the first, `[k, out, in]`, as views of the stack's row."""

    def __init__(
        self,
        hidden: tuple[int, ...],
        dropouts: list[float],
        members: slice,
        units: slice,
        layers: list[tuple[torch.Tensor, ...]],
    ) -> None:
        self.hidden, self.members, self.units, self.layers = hidden, members, units, layers
        self.dropped: list[tuple[float, slice]] = []  # members are sorted by dropout
        for dropout in sorted(set(dropouts) - {0.0}):
            start = dropouts.index(dropout)
            self.dropped.append((dropout, slice(start, start + dropouts.count(dropout))))
        self.inputs: list[torch.Tensor] = []

    def forward(self, found: torch.Tensor, masks: Sequence[torch.Tensor], logits: torch.Tensor) -> None:
        """Go on from what the first layer gave, `[k * units, b]`; `masks` `[units, b]` are by layer, and by dropout in it."""
        found, waiting = found.view(len(logits), -1, found.shape[1]), iter(masks)
        self.inputs = []
        for number, (weight, bias, _, _) in enumerate(self.layers):
            found = found.relu_()
            for _, members in self.dropped if masks else ():
                found[members].mul_(next(waiting))
            self.inputs.append(found)
            last = number == len(self.layers) - 1
            found = torch.baddbmm(bias, weight, found, out=logits) if last else torch.baddbmm(bias, weight, found)
        if not self.layers:
            logits.copy_(found)

    def backward(self, slopes: torch.Tensor, first: torch.Tensor) -> None:
        """Put the loss's slopes by all layers where they belong, and those by the first layer's units into `first`."""
        first = first.view(len(slopes), -1, first.shape[1])
        if not self.layers:
            first.copy_(slopes)
        for depth in reversed(range(len(self.layers))):
            (weight, _, weight_slope, bias_slope), inputs = self.layers[depth], self.inputs[depth]
            torch.bmm(slopes, inputs.transpose(1, 2), out=weight_slope)
            torch.sum(slopes, 2, out=bias_slope)
            below = first if depth == 0 else torch.empty_like(inputs)
            torch.bmm(weight.transpose(1, 2), slopes, out=below)
            for dropout, members in self.dropped:
                below[members].mul_(1 / (1 - dropout))
            slopes = torch.ops.aten.threshold_backward.grad_input(below, inputs, 0, grad_input=below)


@dataclass(frozen=True)
class _Place:
    """Where a tensor of a member lies in the row."""

    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        return self.start + torch.Size(self.shape).numel()

    def of(self, row: torch.Tensor) -> torch.Tensor:
        return row[self.start : self.stop].view(self.shape)


def draw_layers(
    hidden: tuple[int, ...], width: int, classes: int, seed: int, like: torch.Tensor
) -> tuple[Layers, torch.Generator]:
    """Return the layers that a perceptron starts from alone, and the generator in the state in which dropout finds it."""
    cuda = like.device.type == "cuda"
    generator = torch.Generator(like.device)
    with torch.random.fork_rng(devices=[like.device] if cuda else []):
        torch.manual_seed(seed)
        linears = [nn.Linear(a, b) for a, b in pairwise([width, *hidden, classes])]
        if cuda:
            generator.manual_seed(seed)
        else:
            generator.set_state(torch.get_rng_state())
    return [(linear.weight.detach().to(like), linear.bias.detach().to(like)) for linear in linears], generator


def count_numbers(members: Sequence[Member], width: int, classes: int) -> int:
    """Count the weights and biases of members together."""
    return sum((below + 1) * above for member in members for below, above in pairwise([width, *_widths(member, classes)]))


def _widths(member: Member, classes: int) -> list[int]:
    return [*member.hidden, classes]


def _lay_out(members: Sequence[Member], width: int, classes: int) -> list[list[_Place]]:
    """Place every member's weights and biases: all first weights, all first biases, then block by block, layer by layer."""
    places: list[list[_Place]] = [[] for _ in members]
    at = 0

    def put(numbers: Sequence[int], shape: tuple[int, ...]) -> None:
        nonlocal at
        for number in numbers:
            places[number].append(_Place(at, shape))
            at = places[number][-1].stop

    for part in ((width,), ()):
        for number, member in enumerate(members):
            put([number], (_widths(member, classes)[0], *part))
    for _, found in groupby(range(len(members)), key=lambda number: members[number].hidden):
        group = list(found)
        for below, above in pairwise(_widths(members[group[0]], classes)):
            put(group, (above, below))
            put(group, (above,))
    return places


def _weighted(logs: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropies `[k]` of log-probabilities `[k, c, b]` under weights `[b]` that add up to 1."""
    return -logs.gather(1, y.expand(len(logs), 1, -1)).squeeze(1).mv(weight)
