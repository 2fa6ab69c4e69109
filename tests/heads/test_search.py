import numpy as np
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.model_selection import RandomizedSearchCV

from heads import LinearHead, RandomSweepCV

SPACE = {"C": loguniform(1e-2, 1e2), "class_weight": [None, "balanced"]}


def test_trials_and_answers_are_those_of_randomized_search_cv(blobs):
    ours = RandomSweepCV(LinearHead(), SPACE, n_iter=6, cv=3, random_state=1).fit(*blobs)
    theirs = RandomizedSearchCV(LinearHead(), SPACE, n_iter=6, cv=3, random_state=1).fit(*blobs)
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], atol=2 / 600)
    assert ours.best_params_ == ours.cv_results_["params"][ours.best_index_]
    assert ours.predict(blobs[0]).shape == (600,)


def test_it_clones_with_all_its_settings():
    sweep = RandomSweepCV(LinearHead(), SPACE, n_iter=3, random_state=2)
    assert clone(sweep).get_params()["n_iter"] == 3
    assert clone(sweep).get_params()["random_state"] == 2
