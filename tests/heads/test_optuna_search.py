import sys

import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler
from scipy.stats import loguniform, norm, randint, uniform
from sklearn.linear_model import LogisticRegression

from heads import LinearHead, MLPHead, OptunaSweepCV
from heads.solvers.mlp import MLPEngine

SPACE = {"C": FloatDistribution(1e-4, 1e2, log=True), "class_weight": [None, "balanced"]}


def test_the_same_seed_proposes_the_same_trials_and_another_one_others(blobs):
    one, two, other = (
        OptunaSweepCV(LinearHead(), SPACE, n_trials=15, batch_size=5, cv=3, random_state=seed).fit(*blobs) for seed in (0, 0, 1)
    )
    assert one.cv_results_["params"] == two.cv_results_["params"]
    assert one.cv_results_["params"] != other.cv_results_["params"]
    assert len(one.cv_results_["params"]) == len(one.study_.trials) == 15


def test_it_learns_where_to_look(blobs):
    sweep = OptunaSweepCV(LinearHead(), {"C": loguniform(1e-8, 1e2)}, n_trials=40, cv=3, random_state=0).fit(*blobs)
    scores = sweep.cv_results_["mean_test_score"]
    assert scores[30:].mean() > scores[:10].mean()
    assert sweep.best_score_ == scores.max()
    assert sweep.study_.best_value == sweep.best_score_
    assert sweep.best_params_["C"] == sweep.best_estimator_.C


def test_a_batch_is_one_stack_and_values_may_be_of_any_kind(blobs, monkeypatch):
    stacks, solve = [], MLPEngine.solve
    monkeypatch.setattr(MLPEngine, "solve", lambda self, heads, task: stacks.append(len(heads)) or solve(self, heads, task))
    space = {"hidden": [[8], [8, 4]], "lr": loguniform(1e-3, 1e-1), "dropout": uniform(0, 0.5), "patience": randint(2, 5)}
    sweep = OptunaSweepCV(MLPHead(max_epochs=2), space, n_trials=7, batch_size=4, cv=2, random_state=0).fit(*blobs)
    assert stacks == [4, 3]
    for params in sweep.cv_results_["params"]:
        assert params["hidden"] in space["hidden"]
        assert 0 <= params["dropout"] <= 0.5
        assert params["patience"] in (2, 3, 4)


def test_what_was_tried_is_not_tried_again(blobs):
    sweep = OptunaSweepCV(LinearHead(), {"C": [0.1, 1.0]}, n_trials=12, batch_size=4, cv=3, random_state=0).fit(*blobs)
    assert sorted(params["C"] for params in sweep.cv_results_["params"]) == [0.1, 1.0]
    assert len(sweep.study_.trials) == 12


def test_failing_trials_are_recorded_and_told_to_optuna(blobs):
    X, y = blobs
    sweep = OptunaSweepCV(LogisticRegression(), {"C": [-1.0, 1.0]}, n_trials=8, cv=3, random_state=0)
    sweep.fit(X, pd.Series(y, dtype="str"))
    assert sweep.best_params_ == {"C": 1.0}
    states = {trial.params["C"]: trial.state.name for trial in sweep.study_.trials}
    assert states == {0: "FAIL", 1: "COMPLETE"}


def test_samplers_and_a_time_limit_are_the_user_s_choice(blobs):
    sweep = OptunaSweepCV(LinearHead(), SPACE, n_trials=6, batch_size=2, sampler=RandomSampler(seed=0), cv=3, timeout=0.0)
    sweep.fit(*blobs)
    assert isinstance(sweep.study_.sampler, RandomSampler)
    assert len(sweep.study_.trials) == 2


def test_a_space_that_optuna_cannot_draw_from_is_told(blobs):
    with pytest.raises(ValueError, match="`C`: Optuna cannot draw from"):
        OptunaSweepCV(LinearHead(), {"C": norm(0, 1)}).fit(*blobs)


def test_without_optuna_the_error_says_what_to_install(blobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"`pip install headstart\[search\]`"):
        OptunaSweepCV(LinearHead(), SPACE).fit(*blobs)
