import numpy as np
import pytest
import torch

from heads.solvers import stack
from heads.solvers.losses import BinaryLoss, SoftmaxLoss
from heads.solvers.stack import Problems, Stack, order_samples, shared_parts, used_runs


def example(weights, groups):
    count = len(groups)
    rows = np.arange(count) % len(weights)
    return Problems(np.ones(count), weights, rows, np.zeros(count, int), np.array(groups))


def test_the_samples_that_a_fold_leaves_out_come_to_stand_together():
    folds = np.random.default_rng(0).integers(5, size=1000)
    weights = (folds != np.arange(5)[:, None]).astype(float)
    ordered = weights[:, order_samples(weights)]
    assert (np.abs(np.diff(ordered, axis=1)).sum(axis=1) <= 2).all()


def test_runs_cover_what_is_used_and_pass_over_long_gaps_alone(monkeypatch):
    monkeypatch.setattr(stack, "SHORT", 5)
    used = np.zeros(60, bool)
    used[[3, 4, 8, 20]] = used[30:55] = True
    runs = used_runs(used)
    covered = np.zeros(60, int)
    for run in runs:
        covered[run] += 1
    assert covered.max() == 1
    assert covered[used].all()
    assert not covered[9:20].any()


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("thin", [0, 10_000], ids=["weights apart", "weights together"])
def test_it_is_the_same_objective_however_samples_and_heads_are_tiled(thin, columns, monkeypatch):
    rng = np.random.default_rng(0)
    values = torch.as_tensor(rng.normal(size=(50, 4)))
    problems = example((rng.random((2, 50)) > 0.3).astype(float), [0, 0, 1, 1])
    points = torch.as_tensor(rng.normal(size=(4, columns, 4)))
    codes = torch.as_tensor(rng.integers(3, size=50))
    loss = SoftmaxLoss(codes, 3) if columns == 3 else BinaryLoss((codes[None] == 1).double())
    whole = Stack(values, loss, problems)(torch.arange(4), points)
    for name, size in (("SHORT", 1), ("TILES", {"cpu": (12, 7)}), ("THIN", thin)):
        monkeypatch.setattr(stack, name, size)
    tiled = Stack(values, loss, problems)(torch.arange(4), points)
    joined = {type(row) for _, _, row in Stack(values, loss, problems)._tiles(torch.tensor([0, 1, 0, 1]), columns)}
    assert joined == ({torch.Tensor} if thin else {int})
    torch.testing.assert_close(tiled.value, whole.value)
    torch.testing.assert_close(tiled.gradient, whole.gradient)


def test_heads_of_so_many_columns_that_one_fills_a_tile_are_not_joined(monkeypatch):
    monkeypatch.setattr(stack, "THIN", 10_000)
    values, loss = torch.ones(50, 4), SoftmaxLoss(torch.arange(50) % 2, 2)
    rows = [row for _, _, row in Stack(values, loss, example(np.ones((2, 50)), [0, 1]))._tiles(torch.tensor([0, 1]), 512)]
    assert rows == [0, 1]


@pytest.mark.parametrize("kind", ["folds", "draws"])
def test_at_their_centres_all_problems_are_what_they_are_alone(kind, monkeypatch):
    monkeypatch.setattr(stack, "TILES", {"cpu": (512, 7)})
    rng = np.random.default_rng(0)
    own = rng.random(50)
    fold = np.sort(rng.integers(3, size=50))
    weights = own * (fold != np.arange(3)[:, None]) if kind == "folds" else rng.integers(3, size=(3, 50)).astype(float)
    group_of = np.repeat([0, 1], 3)
    problems = Problems(np.repeat([0.1, 10.0], 3), weights, np.tile([0, 1, 2], 2), np.zeros(6, int), group_of)
    whole = Stack(
        torch.as_tensor(rng.normal(size=(50, 4))), SoftmaxLoss(torch.as_tensor(rng.integers(3, size=50)), 3), problems
    )
    points = torch.as_tensor(rng.normal(size=(2, 3, 4)))
    shared = whole.at_centres(points, torch.as_tensor(group_of))
    alone = whole(torch.arange(6), points[group_of])
    torch.testing.assert_close(shared.value, alone.value)
    torch.testing.assert_close(shared.gradient, alone.gradient)
    assert (shared_parts(torch.as_tensor(weights)) is None) == (kind == "draws")


def test_a_centre_has_its_group_s_weights_on_average_and_groups_alike_share_a_row():
    weights = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    centres = example(weights, [0, 0, 1, 1]).centres()
    assert centres.weights.tolist() == [[1.0, 0.5, 0.5]]
    assert centres.weight_of.tolist() == [0, 0]
