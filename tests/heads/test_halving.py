import numpy as np
import pandas as pd
import pytest
from scipy.stats import loguniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import HalvingGridSearchCV, HalvingRandomSearchCV, StratifiedKFold

from heads import HalvingRandomSweepCV, HalvingSweepCV, LinearHead, MLPHead
from heads.halving import Rung, plan_rungs

GRID = {"C": [1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0], "class_weight": [None, "balanced"]}
FOLDS = StratifiedKFold(4, shuffle=True, random_state=0)
RESULTS = ["iter", "n_resources", "params", "mean_test_score", "split0_test_score"]


def same_results(ours, theirs):
    for name in RESULTS:
        assert np.asarray(ours.cv_results_[name]).tolist() == np.asarray(theirs.cv_results_[name]).tolist()
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_score_ == theirs.best_score_
    assert ours.best_index_ == theirs.best_index_
    for name in (
        "n_resources_",
        "n_candidates_",
        "n_iterations_",
        "min_resources_",
        "max_resources_",
        "n_remaining_candidates_",
    ):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"factor": 2},
        {"min_resources": "smallest"},
        {"min_resources": 300, "aggressive_elimination": True},
        {"max_resources": 400, "min_resources": 40, "factor": 1.7},
        {"resource": "max_iter", "max_resources": 200, "min_resources": 10},
    ],
)
def test_rungs_samples_and_answers_are_those_of_halving_grid_search_cv(blobs, changes):
    changes = {"cv": FOLDS, "random_state": 3} | changes
    ours = HalvingSweepCV(LogisticRegression(), GRID, **changes).fit(*blobs)
    theirs = HalvingGridSearchCV(LogisticRegression(), GRID, return_train_score=False, **changes).fit(*blobs)
    same_results(ours, theirs)


@pytest.mark.parametrize("changes", [{}, {"n_candidates": 9, "min_resources": "exhaust"}])
def test_the_random_one_is_halving_random_search_cv(blobs, changes):
    space = {"C": loguniform(1e-2, 1e2)}
    changes = {"cv": FOLDS, "random_state": 3} | changes
    ours = HalvingRandomSweepCV(LogisticRegression(), space, **changes).fit(*blobs)
    theirs = HalvingRandomSearchCV(LogisticRegression(), space, return_train_score=False, **changes).fit(*blobs)
    same_results(ours, theirs)


def test_engines_solve_each_rung_together_with_the_answers_of_one_by_one(blobs):
    sweep = HalvingSweepCV(LinearHead(), GRID, cv=FOLDS, random_state=0).fit(*blobs)
    alone = HalvingSweepCV(type("Alone", (LinearHead,), {})(), GRID, cv=FOLDS, random_state=0).fit(*blobs)
    first = sweep.cv_results_["iter"] == 0
    np.testing.assert_allclose(
        sweep.cv_results_["mean_test_score"][first], alone.cv_results_["mean_test_score"][first], atol=0.02
    )
    assert sweep.n_candidates_ == [12, 4, 2]
    assert sweep.predict(blobs[0]).shape == (600,)


def test_epochs_may_be_the_resource_and_the_best_has_the_most(blobs):
    grid = {"hidden": [8, 16], "lr": [1e-4, 1e-2]}
    sweep = HalvingSweepCV(MLPHead(), grid, resource="max_epochs", max_resources=8, factor=2, cv=3).fit(*blobs)
    assert sweep.cv_results_["n_resources"].tolist() == [2] * 4 + [4] * 2 + [8]
    assert sweep.best_params_["max_epochs"] == 8
    assert sweep.best_estimator_.max_epochs == 8


def test_a_failing_trial_is_recorded_and_goes_no_further(blobs):
    X, y = blobs
    sweep = HalvingSweepCV(LogisticRegression(), {"C": [-1.0, 0.1, 1.0, 10.0]}, factor=2, cv=3, random_state=0)
    sweep.fit(X, pd.Series(y, dtype="str"))
    assert sweep.cv_results_["error"][0].startswith("InvalidParameterError")
    assert all(params["C"] > 0 for params in sweep.cv_results_["params"][4:])


def test_several_scorers_and_no_refit_leave_it_to_the_first_who_goes_on(blobs):
    sweep = HalvingSweepCV(LinearHead(), GRID, scoring=["f1_macro", "accuracy"], refit=False, cv=FOLDS, random_state=0).fit(
        *blobs
    )
    kept = {str(params) for params in np.array(sweep.cv_results_["params"])[sweep.cv_results_["iter"] == 1]}
    first = sweep.cv_results_["mean_test_f1_macro"][:12]
    assert min(first[n] for n in range(12) if str(sweep.cv_results_["params"][n]) in kept) >= sorted(first)[-4]


def test_plans_that_cannot_be_are_told():
    assert plan_rungs(9, 3, 10, 1000) == [Rung(9, 10), Rung(3, 30), Rung(1, 90)]
    with pytest.raises(ValueError, match="`factor` is 1; it must be above 1"):
        plan_rungs(9, 1, 10, 100)
    with pytest.raises(ValueError, match="needs 200 of the resource, and there are 100"):
        plan_rungs(9, 3, 200, 100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resource": "C"}, "name its largest value as `max_resources`"),
        ({"resource": "C", "max_resources": 9}, "`C` is the resource"),
        ({"resource": "epochs"}, "no parameter of LinearHead"),
    ],
)
def test_a_resource_that_cannot_be_is_told(blobs, changes, message):
    with pytest.raises(ValueError, match=message):
        HalvingSweepCV(LinearHead(), GRID, **changes).fit(*blobs)
