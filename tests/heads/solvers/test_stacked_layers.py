import pytest
import torch
from torch import nn

from heads.solvers.stacked_layers import Member, StackData, StackedLayers, count_numbers, draw_layers

MEMBERS = sorted(
    Member(hidden, dropout, lr, decay)
    for hidden in ((), (5,), (4, 3), (4, 6))
    for dropout in (0.0, 0.5)
    for lr, decay in ((1e-2, 0.1), (1e-3, 0.0), (1e-2, 0.0))
)


def draw(samples=30, width=7, classes=3):
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(samples, width, dtype=torch.float64, generator=generator)
    y = torch.randint(classes, (samples,), generator=generator)
    return StackData(X, y, torch.rand(samples, dtype=torch.float64, generator=generator))


def alone(member, data, masks=None):
    """The same perceptron as a module of torch's, with masks for dropout."""
    layers, _ = draw_layers(member.hidden, data.X.shape[1], 3, 0, data.X)
    tensors = [tensor.clone().requires_grad_() for layer in layers for tensor in layer]

    def loss():
        found = data.X
        for depth in range(len(member.hidden) + 1):
            found = nn.functional.linear(found, *tensors[2 * depth : 2 * depth + 2])
            if depth < len(member.hidden):
                found = found.relu() if masks is None else found.relu() * masks[depth].t()
        losses = nn.functional.cross_entropy(found, data.y, reduction="none")
        return (losses * data.weight).sum() / data.weight.sum()

    return tensors, loss


def masks_of(stack, samples):
    """Masks by block, layer and dropout; and those of a member."""
    generator = torch.Generator().manual_seed(2)
    drawn = {
        (block.hidden, depth): torch.empty(width, samples, dtype=torch.float64).bernoulli_(0.5, generator=generator) / 0.5
        for block in stack.blocks
        for depth, width in enumerate(block.hidden)
    }
    by_block = [
        [drawn[block.hidden, depth] for depth in range(len(block.hidden)) for _ in block.dropped] for block in stack.blocks
    ]
    return by_block, drawn


def test_losses_are_cross_entropies_of_every_member():
    data = draw(2500)
    stack = StackedLayers.start(MEMBERS, 7, 3, 0, data.X)
    expected = [float(alone(member, data)[1]()) for member in MEMBERS]
    assert stack.losses(data).tolist() == pytest.approx(expected)


def test_steps_are_those_of_torch_s_adamw_along_autograd_s_gradients():
    data = draw()
    stack = StackedLayers.start(MEMBERS, 7, 3, 0, data.X)
    by_block, drawn = masks_of(stack, len(data.y))
    steps = [stack.step(data, by_block, share) for share in (1.0, 0.5, 0.1)]
    for number, member in enumerate(MEMBERS):
        masks = [drawn[member.hidden, depth] for depth in range(len(member.hidden))] if member.dropout else None
        tensors, loss = alone(member, data, masks)
        optimizer = torch.optim.AdamW(tensors, lr=member.lr, weight_decay=member.weight_decay)
        for step, share in enumerate((1.0, 0.5, 0.1)):
            optimizer.param_groups[0]["lr"] = member.lr * share
            optimizer.zero_grad()
            value = loss()
            value.backward()
            optimizer.step()
            assert float(steps[step][number]) == pytest.approx(float(value))
        found = [tensor for layer in stack.layers(number) for tensor in layer]
        for mine, theirs in zip(found, tensors, strict=True):
            torch.testing.assert_close(mine, theirs.detach())


def test_members_that_are_kept_go_on_as_if_the_others_were_still_there():
    data = draw()
    whole = StackedLayers.start(MEMBERS, 7, 3, 0, data.X)
    whole.step(data, [[] for _ in whole.blocks], 1.0)
    chosen = [0, 3, 4, 11, 17, 23]
    part = whole.keep(chosen)
    for stack in (whole, part):
        stack.step(data, [[] for _ in stack.blocks], 1.0)
    for place, number in enumerate(chosen):
        for mine, theirs in zip(part.layers(place), whole.layers(number), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_numbers_are_counted():
    modules = [nn.Sequential(nn.Linear(7, 4), nn.Linear(4, 6), nn.Linear(6, 3)), nn.Linear(7, 3)]
    expected = sum(parameter.numel() for module in modules for parameter in module.parameters())
    assert count_numbers([Member((4, 6), 0.0, 1.0, 0.0), Member((), 0.0, 1.0, 0.0)], 7, 3) == expected
