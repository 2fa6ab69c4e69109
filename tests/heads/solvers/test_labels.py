import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, KFold

from heads import LinearHead, SweepCV
from heads.solvers.catalog import find_engine
from heads.solvers.engine import read_task
from heads.solvers.labels import are_solvable

SCORING = ["f1_macro", "f1_micro", "accuracy", "average_precision"]
CLASS_WEIGHTS = [None, "balanced", {0: 3.0, 2: 0.5}]


@pytest.fixture(scope="module")
def labelled(blobs):
    """Samples of four labels: a frequent one, a rare one, and two of the classes."""
    X, y = blobs
    rng = np.random.default_rng(0)
    rare = (X[:, 1] > 0.3) & (rng.random(len(y)) < 0.6)
    return X, np.stack([y == "pos", y != "neg", rare, X[:, 0] + 0.2 * rng.normal(size=len(y)) > -0.2], axis=1).astype(int)


def solve(X, y, folds, trials, weight=None):
    task = read_task(X, y, weight, folds)
    engine = find_engine(LinearHead())
    assert all(engine.takes(head, task) for head in trials)
    return dict(engine.solve(trials, task))


def assert_alike(found, alone, X):
    assert found.coef_.shape == alone.coef_.shape
    assert np.linalg.norm(found.coef_ - alone.coef_) < 2e-3 * np.linalg.norm(alone.coef_)
    np.testing.assert_allclose(found.predict_proba(X), alone.predict_proba(X), atol=2e-3)
    assert (found.predict(X) != alone.predict(X)).sum() <= 1


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("prepared", [{}, {"standardize": True}, {"whiten": 1.0}], ids=["plain", "standardized", "whitened"])
def test_coefficients_are_those_of_heads_fitted_one_by_one(labelled, weighted, prepared):
    X, y = labelled
    folds = list(KFold(3).split(X))
    weight = np.random.default_rng(0).integers(1, 4, size=len(y)).astype(float) if weighted else None
    trials = [LinearHead(C=C, class_weight=kind, **prepared) for C in (0.1, 10.0) for kind in CLASS_WEIGHTS]
    solved = solve(X, y, folds, trials, weight)
    for number, trial in enumerate(trials):
        for fold, (train, test) in enumerate(folds):
            alone = LinearHead(**trial.get_params()).fit(X[train], y[train], None if weight is None else weight[train])
            assert_alike(solved[number][fold].head(), alone, X[test])


def test_scores_are_those_of_grid_search_cv_but_for_a_sample_on_a_border(labelled):
    X, y = labelled
    grid = {"C": [0.01, 1.0, 100.0], "class_weight": CLASS_WEIGHTS}
    ours, theirs = (
        search(LinearHead(), grid, scoring=SCORING, refit=False, cv=KFold(3)).fit(X, y) for search in (SweepCV, GridSearchCV)
    )
    assert not any(ours.cv_results_["error"])
    for metric in SCORING:
        for fold in range(3):
            name = f"split{fold}_test_{metric}"
            np.testing.assert_allclose(ours.cv_results_[name], theirs.cv_results_[name], atol=6e-3)


def test_sample_weights_count_in_fits_and_scores(labelled):
    X, y = labelled
    weight = np.random.default_rng(1).uniform(0.1, 3, size=len(y))
    ours = SweepCV(LinearHead(), {"C": [1.0, 10.0]}, scoring=["accuracy"], refit=False, cv=KFold(3))
    ours.fit(X, y, sample_weight=weight)
    for number, strength in enumerate((1.0, 10.0)):
        for fold, (train, test) in enumerate(KFold(3).split(X)):
            alone = LinearHead(C=strength).fit(X[train], y[train], weight[train])
            expected = alone.score(X[test], y[test], weight[test])
            assert ours.cv_results_[f"split{fold}_test_accuracy"][number] == pytest.approx(expected, abs=3 / weight[test].sum())


def test_labels_that_a_fold_s_samples_agree_on_have_the_log_odds_that_they_have_alone(labelled):
    X, y = labelled
    y = np.column_stack([y, np.zeros(len(y), int), np.ones(len(y), int)])
    y[450:, 4] = 1  # the training part of the last fold has none of these
    folds = list(KFold(4).split(X))
    solved = solve(X, y, folds, [LinearHead(), LinearHead(class_weight="balanced")])
    for number, kind in enumerate([None, "balanced"]):
        for fold, (train, test) in enumerate(folds):
            alone = LinearHead(class_weight=kind).fit(X[train], y[train])
            found = solved[number][fold].head()
            assert_alike(found, alone, X[test])
            assert found.intercept_[5] == pytest.approx(alone.intercept_[5], rel=1e-6)
            assert (found.coef_[5] == 0).all()
    assert (solved[0][3].head().coef_[4] == 0).all()


def test_more_features_than_samples(labelled):
    X, y = labelled
    wide = (X[:90] @ np.random.default_rng(0).normal(size=(20, 300))).astype(np.float32)
    folds = list(KFold(3).split(wide))
    solved = solve(wide, y[:90], folds, [LinearHead(C=0.01)])
    for fold, (train, test) in enumerate(folds):
        assert_alike(solved[0][fold].head(), LinearHead(C=0.01).fit(wide[train], y[:90][train]), wide[test])


@pytest.mark.parametrize(
    ("params", "weight", "taken"),
    [({}, None, True), ({"class_weight": {0: 0.0}}, None, False), ({}, 0.0, False), ({"class_weight": {0: 2.0}}, 1.0, True)],
)
def test_labels_without_weight_on_a_side_go_one_by_one(labelled, params, weight, taken):
    X, y = labelled
    weights = None if weight is None else np.r_[weight, np.ones(len(y) - 1)]
    assert are_solvable(LinearHead(**params), read_task(X, y, weights, list(KFold(3).split(X)))) is taken


def test_sets_of_labels_go_one_by_one(labelled):
    X, y = labelled
    sets = [{name for name, has in zip("abcd", row, strict=True) if has} for row in y]
    sweep = SweepCV(LinearHead(), {"C": [1.0, 10.0]}, cv=KFold(3)).fit(X, sets)
    assert not any(sweep.cv_results_["error"])
    same = SweepCV(LinearHead(), {"C": [1.0, 10.0]}, cv=KFold(3)).fit(X, y)
    np.testing.assert_allclose(sweep.cv_results_["mean_test_score"], same.cv_results_["mean_test_score"], atol=0.01)
