import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, KFold

from heads import LDAHead, RidgeHead, RidgeRegressor, SweepCV, ridge
from heads.solvers.decomposed import LDAEngine, RidgeEngine
from heads.solvers.engine import read_task

ALPHAS = [1e-4, 0.1, 10.0, [0.5, 1e-3], None]


def assert_same(head, grid, X, y, **options):
    ours, theirs = (search(head, grid, refit=False, cv=KFold(3), **options).fit(X, y) for search in (SweepCV, GridSearchCV))
    assert not any(ours.cv_results_["error"])
    for name, values in theirs.cv_results_.items():
        if name.startswith("split"):
            np.testing.assert_allclose(ours.cv_results_[name], values, rtol=1e-6)


@pytest.mark.parametrize("labels", ["two", "three", "several"])
def test_scores_are_those_of_heads_fitted_one_by_one(blobs, labels):
    X, y = blobs
    if labels == "two":
        X, y = X[y != "neu"], y[y != "neu"]
    elif labels == "several":
        y = np.stack([y == "pos", y != "neg"], axis=1).astype(int)
    grid = {"alphas": ALPHAS} | ({} if labels == "several" else {"class_weight": [None, "balanced"]})
    assert_same(RidgeHead(), grid, X, y, scoring=["accuracy", "f1_macro"])


@pytest.mark.parametrize("width", [20, 500])
@pytest.mark.parametrize("targets", [1, 2])
def test_values_are_scored_as_one_by_one(width, targets):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, width))
    y = X @ rng.normal(size=(width, targets)) + rng.normal(size=(200, targets))
    assert_same(RidgeRegressor(), {"alphas": ALPHAS}, X, y[:, 0] if targets == 1 else y)


def test_a_fold_is_decomposed_once_for_all_penalties(blobs, monkeypatch):
    asked = []
    plain = ridge._directions
    monkeypatch.setattr(ridge, "_directions", lambda X, weight: asked.append(len(X)) or plain(X, weight))
    SweepCV(RidgeHead(), {"alphas": ALPHAS}, cv=4, refit=False).fit(*blobs)
    assert asked == [450] * 4


@pytest.mark.parametrize("weighted", [False, True])
def test_fitted_heads_are_those_fitted_alone(blobs, weighted):
    X, y = blobs
    weight = np.random.default_rng(0).uniform(0, 2, size=len(y)) if weighted else None
    trials = [RidgeHead(alphas=alphas, class_weight="balanced") for alphas in ALPHAS]
    task = read_task(X, y, weight, [(np.arange(400), np.arange(400, 600))])
    for number, (solved,) in RidgeEngine().solve(trials, task):
        alone = trials[number].fit(X[:400], y[:400], None if weight is None else weight[:400])
        found = solved.head()
        assert found.alphas == trials[number].alphas
        assert found.alpha_ == pytest.approx(alone.alpha_, rel=1e-12)
        np.testing.assert_allclose(found.coef_, alone.coef_, rtol=1e-5, atol=1e-7)
        assert found.predict(X[400:]).tolist() == alone.predict(X[400:]).tolist()


def test_trials_that_fitting_would_refuse_fail_alone(blobs):
    grid = {"alphas": [-1.0, 1.0, "some"], "class_weight": [None, "some"]}
    errors = SweepCV(RidgeHead(), grid, cv=3).fit(*blobs).cv_results_["error"]
    assert [error is None for error in errors] == [False, False, True, False, False, False]
    assert "The 'alphas' parameter of RidgeHead must be" in errors[0]
    with pytest.raises(ValueError) as alone:
        RidgeHead(class_weight="some").fit(*blobs)
    assert str(alone.value).splitlines()[0] in errors[3]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("width", [20, 900])
def test_every_shrinkage_and_prior_gives_the_coefficients_of_a_head_fitted_alone(blobs, classes, width):
    X, y = blobs
    X, y = (X[y != "neu"], y[y != "neu"]) if classes == 2 else (X, y)
    X = X if width == 20 else (X @ np.random.default_rng(0).normal(size=(20, width))).astype(np.float32)
    shares = [0.0, 1e-3, 0.1, 1.0, 1]
    trials = [LDAHead(share, priors) for share in shares for priors in (None, [0.9, *[0.1 / (classes - 1)] * (classes - 1)])]
    train, test = np.arange(300), np.arange(300, len(y))
    task = read_task(X, y, None, [(train, test)])
    assert all(LDAEngine().takes(head, task) for head in trials)
    for number, (solved,) in LDAEngine().solve(trials, task):
        alone, found = trials[number].fit(X[train], y[train]), solved.head()
        assert found.get_params() == alone.get_params()
        np.testing.assert_allclose(found.coef_, alone.coef_, rtol=1e-4, atol=1e-5 * np.abs(alone.coef_).max())
        np.testing.assert_allclose(found.predict_proba(X[test]), alone.predict_proba(X[test]), atol=1e-4)


def test_weighted_shrinkages_are_those_fitted_alone(blobs):
    X, y = blobs
    weight = np.random.default_rng(0).integers(3, size=len(y)).astype(float)
    task = read_task(X, y, weight, [(np.arange(400), np.arange(400, 600))])
    for _, (solved,) in LDAEngine().solve([LDAHead(0.1), LDAHead(0.9)], task):
        found = solved.head()
        alone = LDAHead(found.shrinkage).fit(X[:400], y[:400], weight[:400])
        np.testing.assert_allclose(found.coef_, alone.coef_, rtol=1e-4, atol=1e-5)


def test_sweeps_of_shrinkages_score_as_one_by_one_with_the_automatic_one_among_them(blobs):
    assert_same(LDAHead(), {"shrinkage": ["auto", 0.0, 0.1, 0.5]}, *blobs, scoring=["accuracy", "neg_log_loss"])


def test_a_shrinkage_or_priors_that_are_none_fail_alone(blobs):
    grid = {"shrinkage": [2.0, 0.5], "priors": [None, [0.5, -0.5, 1.0]]}
    errors = SweepCV(LDAHead(), grid, cv=3).fit(*blobs).cv_results_["error"]
    assert [error is None for error in errors] == [False, True, False, False]
    assert "a share from 0 for each of 3 classes is expected" in errors[3]


@pytest.mark.parametrize("shrinkage", ["auto", True, -0.1, 1.1, None])
def test_what_is_no_share_goes_one_by_one(blobs, shrinkage):
    task = read_task(*blobs, None, [(np.arange(400), np.arange(400, 600))])
    assert not LDAEngine().takes(LDAHead(shrinkage), task)
