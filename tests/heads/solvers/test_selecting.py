import numpy as np
import pytest

from heads import GreedyHead, GroupLassoHead, SweepCV, choose_splitter
from heads.solvers.catalog import find_engine
from heads.solvers.engine import read_task
from heads.solvers.selecting import SelectingEngine

BLOCKS = [20, 20, 20]


@pytest.fixture(scope="module")
def layers(blobs):
    """Three layers, of which the second is about the classes."""
    X, y = blobs
    noise = np.random.default_rng(0).normal(size=(2, *X.shape)).astype(np.float32)
    return np.concatenate([noise[0], X, noise[1]], axis=1)[:240], y[:240]


@pytest.mark.parametrize(
    ("head", "grid"),
    [
        (GroupLassoHead(blocks=BLOCKS), {"keep": [0.1, 0.7], "per": ["feature", "output"], "C": [0.01, 0.1]}),
        (GreedyHead(blocks=BLOCKS), {"most": [1, 3], "C": [0.01, 0.1], "whiten": [None, 1.0]}),
    ],
)
def test_a_sweep_gives_what_heads_fitted_one_by_one_give(layers, head, grid):
    X, y = layers
    folds = list(choose_splitter(y, folds=3).split(X, y))
    assert isinstance(find_engine(head), SelectingEngine)
    assert find_engine(head).takes(head, read_task(X, y, None, folds))
    sweep = SweepCV(head, grid, cv=folds).fit(X, y)
    for number, params in enumerate(sweep.cv_results_["params"]):
        for fold, (train, test) in enumerate(folds):
            alone = type(head)(blocks=BLOCKS, **params).fit(X[train], y[train])
            together = sweep.cv_results_[f"split{fold}_test_score"][number]
            assert abs(alone.score(X[test], y[test]) - together) <= 1 / len(test) + 1e-9


def test_fitted_heads_of_a_sweep_have_the_coefficients_of_heads_fitted_alone(layers):
    X, y = layers
    train, test = np.arange(160), np.arange(160, 240)
    head = GroupLassoHead(keep=0.2)
    ((_, (solved,)),) = SelectingEngine().solve([head], read_task(X, y, None, [(train, test)]))
    found, alone = solved.head(), GroupLassoHead(keep=0.2).fit(X[train], y[train])
    assert found.selected_.tolist() == alone.selected_.tolist()
    np.testing.assert_allclose(found.coef_, alone.coef_, atol=0.02 * np.abs(alone.coef_).max())


def test_what_a_fold_is_judged_on_has_no_say_in_the_choice(layers):
    X, y = layers
    train, test = np.arange(160), np.arange(160, 240)
    changed, labels = X.copy(), y.copy()
    changed[test] *= 1000
    labels[test] = labels[test][::-1]
    chosen = []
    for features, targets in ((X, y), (changed, labels)):
        ((_, (solved,)),) = SelectingEngine().solve(
            [GroupLassoHead(keep=0.1)], read_task(features, targets, None, [(train, test)])
        )
        chosen.append(solved.head().selected_.tolist())
    assert chosen[0] == chosen[1]


def test_a_choice_that_is_none_is_a_failed_trial(layers):
    sweep = SweepCV(GroupLassoHead(), {"keep": [2.0, 0.5]}, cv=3).fit(*layers)
    assert "The 'keep' parameter of GroupLassoHead must be" in sweep.cv_results_["error"][0]
