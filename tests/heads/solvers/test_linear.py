import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, RepeatedStratifiedKFold, ShuffleSplit, StratifiedKFold

from heads import LinearHead, SweepCV
from heads.solvers.engine import read_task
from heads.solvers.linear import LinearEngine

GRID = {"C": [0.01, 1.0, 100.0], "class_weight": [None, "balanced"]}


def heads():
    return [LinearHead(C=C, class_weight=weight) for C in GRID["C"] for weight in GRID["class_weight"]]


def solve(X, y, cv, weight=None, trials=None):
    folds = list(cv.split(X, y))
    task = read_task(X, y, weight, folds)
    trials = heads() if trials is None else trials
    assert all(LinearEngine().takes(head, task) for head in trials)
    return folds, trials, dict(LinearEngine().solve(trials, task))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_coefficients_and_predictions_are_those_of_heads_fitted_one_by_one(blobs, classes, weighted):
    X, y = blobs
    X, y = (X[y != "neu"], y[y != "neu"]) if classes == 2 else (X, y)
    weight = np.random.default_rng(0).integers(0, 3, size=len(y)).astype(float) if weighted else None
    folds, trials, solved = solve(X, y, StratifiedKFold(4), weight)
    for number, trial in enumerate(trials):
        for fold, (train, test) in enumerate(folds):
            alone = LinearHead(**trial.get_params()).fit(X[train], y[train], None if weight is None else weight[train])
            head = solved[number][fold].head()
            assert head.coef_.shape == alone.coef_.shape
            assert np.linalg.norm(head.coef_ - alone.coef_) < 2e-3 * np.linalg.norm(alone.coef_)
            np.testing.assert_allclose(head.predict_proba(X[test]), alone.predict_proba(X[test]), atol=2e-3)
            assert np.array_equal(head.predict(X[test]), np.unique(y)[solved[number][fold].predicted])
            assert (head.predict(X[test]) != alone.predict(X[test])).sum() <= 1


@pytest.mark.parametrize(
    "cv",
    [
        RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0),
        PredefinedSplit(np.where(np.arange(600) % 4 == 0, 0, -1)),
        ShuffleSplit(3, test_size=0.5, train_size=0.3, random_state=0),
    ],
    ids=lambda cv: type(cv).__name__,
)
def test_folds_may_repeat_overlap_or_leave_samples_out(blobs, cv):
    X, y = blobs
    folds, _, solved = solve(X, y, cv, trials=[LinearHead(C=10.0)])
    for fold, (train, test) in enumerate(folds):
        alone = LinearHead(C=10.0).fit(X[train], y[train])
        assert np.linalg.norm(solved[0][fold].head().coef_ - alone.coef_) < 2e-3 * np.linalg.norm(alone.coef_)
        assert len(solved[0][fold].predicted) == len(test)


def test_a_bootstrap_that_draws_samples_twice_counts_them_twice(blobs):
    X, y = blobs
    rng = np.random.default_rng(0)
    train = rng.integers(300, size=400)
    task = read_task(X, y, None, [(train, np.arange(300, 600))])
    ((_, (solved,)),) = LinearEngine().solve([LinearHead(C=10.0, class_weight="balanced")], task)
    alone = LinearHead(C=10.0, class_weight="balanced").fit(X[train], y[train])
    assert np.linalg.norm(solved.head().coef_ - alone.coef_) < 2e-3 * np.linalg.norm(alone.coef_)


def test_a_fold_without_a_class_learns_the_others_alone(blobs):
    X, y = blobs
    train = np.flatnonzero(y[:400] != "neu")
    task = read_task(X, y, None, [(train, np.arange(400, 600)), (np.arange(300), np.arange(300, 600))])
    ((_, solved),) = LinearEngine().solve([LinearHead()], task)
    assert solved[0].head().classes_.tolist() == ["neg", "pos"]
    assert solved[0].head().coef_.shape == (1, 20)
    assert set(solved[0].predicted) == {0, 2}
    assert solved[1].head().classes_.tolist() == ["neg", "neu", "pos"]


def test_the_head_knows_the_features_names(blobs):
    X, y = blobs
    frame = pd.DataFrame(X).add_prefix("f")
    task = read_task(frame, y, None, [(np.arange(400), np.arange(400, 600))])
    ((_, (solved,)),) = LinearEngine().solve([LinearHead()], task)
    assert solved.head().feature_names_in_.tolist() == frame.columns.tolist()
    assert solved.head().n_features_in_ == 20


class Inverted(LinearHead):
    """A subclass that predicts in a way of its own."""

    def predict(self, X):
        return self.classes_[::-1][np.searchsorted(self.classes_, super().predict(X))]


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, True),
        ({"C": 3}, True),
        ({"class_weight": {"neg": 2.0}}, True),
        ({"tol": 1e-4}, True),
        ({"C": 0}, False),
        ({"C": "1"}, False),
        ({"C": np.inf}, False),
        ({"tol": 1e-9}, False),
        ({"max_iter": 0}, False),
        ({"class_weight": {"unknown": 2.0}}, False),
        ({"class_weight": [1, 2]}, False),
    ],
)
def test_it_takes_what_it_can_solve_and_leaves_the_rest_to_one_by_one(blobs, changes, taken):
    X, y = blobs
    task = read_task(X, y, None, [(np.arange(400), np.arange(400, 600))])
    assert LinearEngine().takes(LinearHead(**changes), task) is taken


def test_subclasses_and_bad_trials_go_one_by_one(blobs):
    X, y = blobs
    straight = SweepCV(LinearHead(), {"C": [1.0]}, cv=3).fit(X, y)
    inverted = SweepCV(Inverted(), {"C": [1.0]}, cv=3).fit(X, y)
    assert inverted.best_score_ < 0.5 < straight.best_score_
    mixed = SweepCV(LinearHead(), {"C": [-1.0, 1.0], "class_weight": [None, {"unknown": 1.0}]}, cv=3).fit(X, y)
    errors = mixed.cv_results_["error"]
    assert [error is None for error in errors] == [False, False, True, False]
    assert errors[0].startswith("InvalidParameterError: The 'C' parameter")


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(3000, 64, 8), (2000, 200, 30)])
def test_a_sweep_agrees_with_scikit_learn_trial_by_trial(shape):
    count, width, classes = shape
    rng = np.random.default_rng(0)
    y = rng.integers(classes, size=count)
    X = (rng.normal(size=(classes, width))[y] + 2 * rng.normal(size=(count, width))) / np.sqrt(np.arange(1, width + 1))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    folds, trials, solved = solve(X, y, StratifiedKFold(3), trials=[LinearHead(C=C) for C in np.logspace(-3, 3, 4)])
    for number, trial in enumerate(trials):
        ours, theirs = [], []
        for fold, (train, test) in enumerate(folds):
            reference = LogisticRegression(C=trial.C, tol=1e-8, max_iter=5000, solver="newton-cg").fit(
                X[train].astype(np.float64), y[train]
            )
            ours.append((solved[number][fold].predicted == y[test]).mean())
            theirs.append(reference.score(X[test], y[test]))
        assert abs(np.mean(ours) - np.mean(theirs)) <= 1e-3


@pytest.mark.parametrize("classes", [2, 3])
def test_samples_of_one_class_alone_that_count_are_learnt_and_end(classes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 10)), np.arange(30) % classes
    sweep = SweepCV(LinearHead(), {"C": [0.1, 1.0]}, cv=3, error_score="raise").fit(X, y, sample_weight=(y == 1).astype(float))
    assert sweep.predict(X).tolist() == [1] * 30
