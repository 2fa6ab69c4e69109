import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold

from heads import KNNHead, KNNRegressor, SweepCV, neighbours
from heads.solvers import neighbours as engine
from heads.solvers.catalog import find_engine
from heads.solvers.engine import read_task
from heads.solvers.neighbours import NeighboursEngine

GRID = {"k": [1, 5, 30, 1000], "weights": ["uniform", "distance", "softmax"], "metric": ["cosine", "euclidean"]}


def assert_same(ours, theirs, tolerance=0.0):
    for name, values in theirs.cv_results_.items():
        if name.startswith("split"):
            np.testing.assert_allclose(ours.cv_results_[name], values, rtol=tolerance)


def both(head, grid, X, y, **options):
    ours = SweepCV(head, grid, refit=False, **options).fit(X, y)
    assert not any(ours.cv_results_["error"])
    assert find_engine(head).takes(head, read_task(X, y, None, [(np.arange(20), np.arange(20, 40))], numbers=y.dtype == float))
    return ours, GridSearchCV(head, grid, refit=False, **options).fit(X, y)


@pytest.mark.parametrize("scoring", [None, "neg_log_loss", ["accuracy", "f1_macro", "roc_auc_ovr"]])
def test_scores_are_those_of_heads_fitted_one_by_one(blobs, scoring):
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    assert_same(*both(KNNHead(), GRID, *blobs, scoring=scoring, cv=cv), tolerance=1e-12)


def test_temperatures_and_class_weights_are_each_trial_s_own(blobs):
    grid = {"k": [3, 20], "weights": ["softmax"], "temperature": [0.01, 1.0], "class_weight": [None, "balanced", {"pos": 9.0}]}
    assert_same(*both(KNNHead(), grid, *blobs, scoring="neg_log_loss", cv=3), tolerance=1e-12)


def test_several_labels_a_sample_are_scored_as_one_by_one(blobs):
    X, y = blobs
    indicator = np.stack([y == "pos", y != "neg", X[:, 0] > 0], axis=1).astype(int)
    assert_same(*both(KNNHead(), GRID, X, indicator, scoring=["f1_micro", "average_precision"], cv=3), tolerance=1e-12)


@pytest.mark.parametrize("targets", [1, 2])
def test_values_are_scored_as_one_by_one(blobs, targets):
    X, _ = blobs
    y = X[:, :targets].astype(float) ** 2
    assert_same(*both(KNNRegressor(), GRID, X, y[:, 0] if targets == 1 else y, cv=KFold(3)), tolerance=1e-10)


@pytest.mark.parametrize("head", [KNNHead(), KNNRegressor()])
def test_equally_near_samples_on_the_border_are_those_that_the_trial_would_choose_alone(head):
    rng = np.random.default_rng(0)
    X = rng.integers(2, size=(300, 4)).astype(float)
    y = rng.integers(3, size=300).astype(float if isinstance(head, KNNRegressor) else int)
    grid = {"k": [1, 2, 3, 7, 50], "metric": ["euclidean"], "weights": ["uniform", "softmax"]}
    assert_same(*both(head, grid, X, y, cv=KFold(3, shuffle=True, random_state=0)), tolerance=1e-10)


def test_a_fold_is_searched_once_for_all_trials(blobs, monkeypatch):
    asked = []

    def counting(samples, X, k):
        asked.append(k)
        return find_nearest(samples, X, k)

    find_nearest = neighbours.find_nearest
    monkeypatch.setattr(engine, "find_nearest", counting)
    monkeypatch.setattr(neighbours, "find_nearest", counting)
    SweepCV(KNNHead(), {"k": [1, 5, 30], "weights": ["uniform", "distance"]}, cv=4, refit=False).fit(*blobs)
    assert asked == [31] * 4


def test_data_frames_keep_their_names_and_other_samples_are_searched_for(blobs):
    X, y = blobs
    frame = pd.DataFrame(X).add_prefix("f")
    task = read_task(frame, y, None, [(np.arange(400), np.arange(400, 600))])
    ((_, (solved,)),) = NeighboursEngine().solve([KNNHead(k=4)], task)
    alone, found = KNNHead(k=4).fit(frame[:400], y[:400]), solved.head()
    assert found.feature_names_in_.tolist() == frame.columns.tolist()
    for rows in (slice(400, 600), slice(300, 310)):
        np.testing.assert_array_equal(found.predict_proba(frame[rows]), alone.predict_proba(frame[rows]))


@pytest.mark.parametrize("params", [{"k": 0}, {"k": 2.5}, {"metric": "manhattan"}, {"weights": "some"}])
def test_trials_that_fitting_would_refuse_fail_alone(blobs, params):
    task = read_task(*blobs, None, [(np.arange(400), np.arange(400, 600))])
    assert not NeighboursEngine().takes(KNNHead(**params), task)
    assert NeighboursEngine().takes(KNNHead(), task)
    grid = [{name: [value] for name, value in params.items()}, {"k": [3]}]
    errors = SweepCV(KNNHead(), grid, cv=3).fit(*blobs).cv_results_["error"]
    assert [error is None for error in errors] == [False, True]


def test_sample_weights_and_unknown_classes_fail_as_they_do_alone(blobs):
    X, y = blobs
    task = read_task(X, y, np.ones(len(y)), [(np.arange(400), np.arange(400, 600))])
    assert not NeighboursEngine().takes(KNNHead(), task)
    sweep = SweepCV(KNNHead(), {"class_weight": ["some", None]}, cv=3).fit(X, y)
    with pytest.raises(ValueError) as alone:
        KNNHead(class_weight="some").fit(X, y)
    assert str(alone.value) in sweep.cv_results_["error"][0]
    assert sweep.cv_results_["error"][1] is None
