import torch

from heads.solvers import descent
from heads.solvers.descent import _Pairs


def two_loop(gradient, pairs, solve):
    """The direction of one problem by the two-loop recursion (Nocedal 1980)."""
    towards, passed = -gradient, []
    for step, change in reversed(pairs):
        share = (step @ towards) / (step @ change)
        towards = towards - share * change
        passed.append(share)
    step, change = pairs[-1]
    towards = solve(towards) * ((step @ change) / (change @ solve(change))).clamp(descent.FLATTEST, descent.STIFFEST)
    for share, (step, change) in zip(reversed(passed), pairs, strict=True):
        towards = towards + (share - (change @ towards) / (step @ change)) * step
    return towards


def test_directions_are_those_of_the_two_loop_recursion_also_when_pairs_are_forgotten_and_problems_leave(monkeypatch):
    monkeypatch.setattr(descent, "MEMORY", 3)
    generator = torch.Generator().manual_seed(0)
    bends = torch.randn(4, 6, 6, generator=generator, dtype=torch.float64)
    hessians = bends @ bends.transpose(1, 2) + torch.eye(6)
    model = torch.rand(6, generator=generator, dtype=torch.float64) + 0.5
    points = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    pairs, known, left = _Pairs(), [[] for _ in range(4)], torch.arange(4)
    for turn in range(8):
        gradients = (hessians[left] @ points[left, :, None])[..., 0]
        found = pairs.direction(gradients.view(-1, 2, 3), lambda given: (given.flatten(1) * model).view_as(given))
        for row, problem in enumerate(left.tolist()):
            told = known[problem]
            expected = two_loop(gradients[row], told, lambda given: given * model) if told else -gradients[row] * model
            torch.testing.assert_close(found[row].flatten(), expected)
        if turn == 3:
            left = left[torch.tensor([0, 2, 3])]
            pairs.take(torch.tensor([True, False, True, True]))
        step = torch.randn(len(left), 6, generator=generator, dtype=torch.float64)
        change = (hessians[left] @ step[..., None])[..., 0]
        points[left] += step
        pairs.add(step.view(-1, 2, 3), change.view(-1, 2, 3))
        for row, problem in enumerate(left.tolist()):
            known[problem] = [*known[problem], (step[row], change[row])][-3:]


def test_a_problem_that_stays_where_it_is_goes_on_with_the_model_alone():
    pairs, gradient = _Pairs(), torch.tensor([[[3.0, 4.0]], [[1.0, 2.0]]])
    pairs.direction(gradient, lambda given: given / 2)
    pairs.add(torch.tensor([[[0.0, 0.0]], [[-0.5, -1.0]]]), torch.tensor([[[0.0, 0.0]], [[-0.5, -1.0]]]))
    found = pairs.direction(torch.tensor([[[3.0, 4.0]], [[0.5, 1.0]]]), lambda given: given / 2)
    torch.testing.assert_close(found, torch.tensor([[[-1.5, -2.0]], [[-0.5, -1.0]]]))
