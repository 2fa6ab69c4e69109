import numpy as np
import pytest
import torch

from heads.solvers import path
from heads.solvers.losses import SoftmaxLoss
from heads.solvers.path import follow_path
from heads.solvers.rotation import rotate
from heads.solvers.stack import Problems, Stack


def problems(C, kinds=1):
    rng = np.random.default_rng(0)
    codes = rng.integers(4, size=300)
    X = (rng.normal(size=(4, 20))[codes] + 2 * rng.normal(size=(300, 20))).astype(np.float32)
    weights = rng.uniform(0.5, 1.5, size=(kinds, 300))
    count = len(C) * kinds
    rows = np.repeat(np.arange(kinds), len(C))
    asked = Problems(np.tile(C, kinds), weights, rows, np.zeros(count, int), np.arange(count))
    return Stack(rotate(X).values, SoftmaxLoss(torch.as_tensor(codes), 4), asked)


@pytest.mark.parametrize("C", [np.logspace(-3, 3, 20), np.array([100.0, 1e-2]), np.array([1.0])], ids=len)
def test_it_comes_close_to_every_minimum(C):
    stack = problems(C, kinds=2)
    points, _ = follow_path(stack, 1e-9, 1000, 64)
    finer, _ = follow_path(stack, 1e-12, 1000, 64)
    every = torch.arange(len(stack))
    values, minima = stack(every, points).value, stack(every, finer).value
    assert (values <= minima * (1 + path.ROUGH_GAP)).all()


def test_weak_penalties_start_from_what_strong_ones_found(monkeypatch):
    started = []
    found = path.minimise
    monkeypatch.setattr(
        path, "minimise", lambda part, start, *rest, **more: started.append(len(start)) or found(part, start, *rest, **more)
    )
    follow_path(problems(np.logspace(-2, 2, 5), kinds=3), 1e-6, 1000, 64)
    assert started == [6, 6, 3]


@pytest.mark.parametrize("hard", [-1, 1000])
def test_models_are_large_only_from_where_it_becomes_hard(hard, monkeypatch):
    monkeypatch.setattr(path, "HARD", hard)
    monkeypatch.setattr(path, "FEWEST", 8)
    sizes, build = [], path.invert_strong
    monkeypatch.setattr(path, "invert_strong", lambda *given: sizes.append(given[-1]) or build(*given))
    follow_path(problems(np.logspace(-2, 2, 5)), 1e-6, 1000, 10)
    assert set(sizes) == ({10} if hard < 0 else {8})
