import numpy as np
import pytest

from heads import LinearHead, SweepCV, choose_splitter
from heads.solvers import prepared
from heads.solvers.catalog import find_engine
from heads.solvers.engine import read_task
from heads.solvers.linear import solve_folds
from heads.solvers.prepared import PreparedEngine


@pytest.fixture(scope="module")
def wide(blobs):
    """Features of very different sizes that vary together, and more of them than a fold has samples."""
    rng = np.random.default_rng(0)
    X, y = blobs[0][:150], blobs[1][:150]
    mixed = X @ rng.normal(size=(20, 200)) + 0.05 * rng.normal(size=(150, 200))
    return (mixed * np.geomspace(0.3, 3, 200) + 2).astype(np.float32), y


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("width", [30, 200])
def test_a_sweep_over_preparations_gives_what_heads_fitted_one_by_one_give(wide, classes, width):
    X, y = wide
    X, y = (X[y != "neu", :width], y[y != "neu"]) if classes == 2 else (X[:, :width], y)
    grid = {"C": [1e-3, 0.1], "standardize": [False, True], "whiten": [None, 2.0]}
    folds = list(choose_splitter(y, folds=3).split(X, y))
    assert isinstance(find_engine(LinearHead()), PreparedEngine)
    assert find_engine(LinearHead()).takes(LinearHead(standardize=True, whiten=2.0), read_task(X, y, None, folds))
    sweep = SweepCV(LinearHead(), grid, cv=folds, scoring=["accuracy", "neg_log_loss"], refit=False).fit(X, y)
    for number, params in enumerate(sweep.cv_results_["params"]):
        for fold, (train, test) in enumerate(folds):
            alone = LinearHead(**params).fit(X[train], y[train])
            together = sweep.cv_results_[f"split{fold}_test_accuracy"][number]
            assert abs(alone.score(X[test], y[test]) - together) <= 1 / len(test) + 1e-9
            log_loss = -np.log(alone.predict_proba(X[test])[np.arange(len(test)), np.searchsorted(alone.classes_, y[test])])
            assert sweep.cv_results_[f"split{fold}_test_neg_log_loss"][number] == pytest.approx(-log_loss.mean(), rel=0.05)


def test_folds_side_by_side_give_what_they_give_one_after_the_other_also_where_one_lacks_a_class(wide, monkeypatch):
    X, y = wide
    y = np.where(np.arange(150) < 8, "rare", y)
    folds = [(np.arange(start, 150), np.arange(start)) for start in (10, 50, 40)]
    folds[0] = np.arange(140), np.arange(140, 150)
    heads = [LinearHead(C=C, standardize=True, whiten=power) for C in (1e-2, 1.0) for power in (None, 1.0)]
    task, calls, coefficients = read_task(X, y, None, folds), [], []
    for limit in (prepared.SMALL, 0):
        monkeypatch.setattr(prepared, "SMALL", limit)
        monkeypatch.setattr(prepared, "solve_folds", lambda heads, folds: calls.append(len(folds)) or solve_folds(heads, folds))
        solved = dict(PreparedEngine().solve(heads, task))
        coefficients.append([one.head().coef_ for number in range(4) for one in solved[number]])
    assert calls == [2, 2]  # of the two folds with three classes; the one with four is alone
    for together, alone in zip(*coefficients, strict=True):
        assert np.linalg.norm(together - alone) < 2e-3 * np.linalg.norm(alone)


def test_what_a_fold_is_judged_on_does_not_prepare_its_features(wide):
    X, y = wide
    train, test = np.arange(100), np.arange(100, 150)
    changed = X.copy()
    changed[test] *= 1000
    coefficients = []
    for features in (X, changed):
        task = read_task(features, y, None, [(train, test)])
        ((_, (solved,)),) = PreparedEngine().solve([LinearHead(standardize=True, whiten=1.0, C=0.1)], task)
        coefficients.append(solved.head().coef_)
    np.testing.assert_allclose(coefficients[0], coefficients[1], atol=1e-3 * np.abs(coefficients[0]).max())


def test_a_whitening_that_is_none_is_a_failed_trial(wide):
    X, y = wide
    sweep = SweepCV(LinearHead(), {"whiten": [-1.0, 1.0]}, cv=3).fit(X, y)
    assert "The 'whiten' parameter of LinearHead must be" in sweep.cv_results_["error"][0]
    assert sweep.best_params_ == {"whiten": 1.0}
