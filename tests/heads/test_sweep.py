import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from threadpoolctl import threadpool_info

from heads import ABMILHead, KNNHead, LinearHead, MLPHead, SweepCV, Tokens
from heads.solvers.engine import threads

GRID = {"C": [0.01, 1.0, 100.0], "class_weight": [None, "balanced"]}


@pytest.mark.parametrize("scoring", [None, "f1_macro", ["accuracy", "f1_macro"]])
def test_the_answers_are_those_of_grid_search_cv_but_for_a_sample_on_a_border(blobs, scoring):
    refit = "f1_macro" if isinstance(scoring, list) else True
    ours = SweepCV(LinearHead(), GRID, scoring=scoring, cv=4, refit=refit).fit(*blobs)
    theirs = GridSearchCV(LinearHead(), GRID, scoring=scoring, cv=4, refit=refit).fit(*blobs)
    metric = refit if isinstance(scoring, list) else "score"
    assert ours.best_score_ == pytest.approx(theirs.best_score_, abs=2 / 600)
    assert ours.best_score_ == pytest.approx(theirs.cv_results_[f"mean_test_{metric}"][ours.best_index_], abs=2 / 600)
    assert set(theirs.cv_results_) <= set(ours.cv_results_)
    for name, values in theirs.cv_results_.items():
        if "time" not in name and "rank" not in name:
            if name.startswith("param_"):
                assert ours.cv_results_[name].tolist() == values.tolist()
            elif name == "params":
                assert ours.cv_results_[name] == values
            else:
                np.testing.assert_allclose(ours.cv_results_[name], values, atol=1.5 / 150)
    X, y = blobs
    theirs.best_estimator_ = theirs.estimator.set_params(**ours.best_params_).fit(X, y)
    assert np.array_equal(ours.predict(X), theirs.predict(X))
    assert ours.score(X, y) == theirs.score(X, y)


def test_a_list_of_grids_leaves_out_parameters(blobs):
    sweep = SweepCV(LogisticRegression(), [{"C": [1]}, {"tol": [1e-3, 1e-4]}], cv=3).fit(*blobs)
    assert sweep.cv_results_["param_C"].mask.tolist() == [False, True, True]


def test_a_failing_trial_is_recorded_and_the_others_go_on(blobs):
    sweep = SweepCV(LogisticRegression(), {"C": [-1.0, 1.0]}, cv=3).fit(*blobs)
    assert sweep.best_params_ == {"C": 1.0}
    assert np.isnan(sweep.cv_results_["mean_test_score"][0])
    assert sweep.cv_results_["error"][0].startswith("InvalidParameterError: The 'C' parameter")
    assert sweep.cv_results_["error"][1] is None
    assert sweep.cv_results_["rank_test_score"].tolist() == [2, 1]


def test_if_every_trial_fails_the_first_s_own_error_is_raised(blobs):
    with pytest.raises(ValueError, match="The 'C' parameter"):
        SweepCV(LogisticRegression(), {"C": [-1.0]}, cv=3).fit(*blobs)


def test_a_failing_trial_may_have_a_score_or_stop_the_sweep(blobs):
    sweep = SweepCV(LogisticRegression(), {"C": [-1.0, 1.0]}, cv=3, error_score=0.25).fit(*blobs)
    assert sweep.cv_results_["mean_test_score"][0] == 0.25
    assert sweep.cv_results_["error"][0].startswith("InvalidParameterError")
    with pytest.raises(ValueError, match="The 'C' parameter"):
        SweepCV(LogisticRegression(), {"C": [1.0, -1.0, 2.0]}, cv=3, error_score="raise").fit(*blobs)


def test_progress_is_told_trial_by_trial_with_the_best_so_far(blobs):
    told = []
    sweep = SweepCV(LogisticRegression(), {"C": [-1.0, 1e-4, 1.0, 1e-3]}, cv=3, on_trial=told.append).fit(*blobs)
    scores = sweep.cv_results_["mean_test_score"]
    assert [report.params["C"] for report in told] == [-1.0, 1e-4, 1.0, 1e-3]
    np.testing.assert_array_equal([report.scores["score"] for report in told], scores)
    np.testing.assert_array_equal([report.best["score"] for report in told], [np.nan, scores[1], scores[2], scores[2]])
    assert [report.error for report in told] == sweep.cv_results_["error"]


def test_the_time_of_trials_that_are_solved_together_is_shared_among_them(blobs):
    times = SweepCV(LinearHead(), {"C": [0.1, 1.0, 10.0]}, cv=3).fit(*blobs).cv_results_["mean_fit_time"]
    assert times[0] > 0
    assert times.tolist() == pytest.approx([times[0]] * 3)


def test_refit_may_be_a_function_of_the_results(blobs):
    sweep = SweepCV(LinearHead(), {"C": [0.1, 1.0, 10.0]}, cv=3, refit=lambda results: 1).fit(*blobs)
    assert sweep.best_params_ == {"C": 1.0}
    assert sweep.best_estimator_.C == 1.0


@pytest.mark.parametrize("head", [LinearHead(), MLPHead(hidden=8, max_epochs=3, validation_fraction=0)])
@pytest.mark.parametrize(
    "cv",
    [
        StratifiedKFold(3, shuffle=True, random_state=1),
        RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0),
        PredefinedSplit(np.repeat([-1, 0], [400, 200])),
        ShuffleSplit(2, test_size=0.3, random_state=0),
        StratifiedGroupKFold(3),
    ],
)
def test_every_splitter_gives_the_folds_that_scikit_learn_would_see(blobs, head, cv):
    X, y = blobs
    groups = np.arange(len(y)) % 9
    grid = {"C": [0.1]} if isinstance(head, LinearHead) else {"lr": [1e-2]}
    ours = SweepCV(head, grid, cv=cv, refit=False).fit(X, y, groups=groups)
    theirs = GridSearchCV(head, grid, cv=cv, refit=False).fit(X, y, groups=groups)
    splits = [name for name in theirs.cv_results_ if name.startswith("split")]
    assert len(splits) == ours.n_splits_
    for name in splits:
        np.testing.assert_allclose(ours.cv_results_[name], theirs.cv_results_[name], atol=0.011)


@pytest.mark.parametrize("head", [LinearHead(), KNNHead()])
def test_scores_on_training_samples_are_those_of_grid_search_cv(blobs, head):
    grid = {"C": [0.01, 1]} if isinstance(head, LinearHead) else {"k": [3, 9], "weights": ["uniform", "distance"]}
    ours, theirs = (search(head, grid, cv=3, return_train_score=True).fit(*blobs) for search in (SweepCV, GridSearchCV))
    assert set(theirs.cv_results_) <= set(ours.cv_results_)
    np.testing.assert_allclose(ours.cv_results_["mean_train_score"], theirs.cv_results_["mean_train_score"], atol=0.005)
    for name in grid:
        assert ours.cv_results_[f"param_{name}"].dtype == theirs.cv_results_[f"param_{name}"].dtype


def test_a_function_may_give_several_scores_of_which_one_decides(blobs):
    def scores(head, X, y):
        return {"right": head.score(X, y), "half": 0.5}

    sweep = SweepCV(LinearHead(), {"C": [-1, 0.01, 1]}, scoring=scores, refit="right", cv=3).fit(*blobs)
    assert np.isnan(sweep.cv_results_["mean_test_half"][0])
    assert sweep.cv_results_["mean_test_half"][1:].tolist() == [0.5, 0.5]
    assert sweep.best_score_ == np.nanmax(sweep.cv_results_["mean_test_right"])
    with pytest.raises(ValueError, match="`refit` must name the one that decides, of right, half"):
        SweepCV(LinearHead(), {"C": [1]}, scoring=scores, cv=3).fit(*blobs)


def test_what_a_function_gives_says_whether_a_name_has_to_decide(blobs):
    def scores(head, X, y):
        return {"right": head.score(X, y), "half": 0.5}

    one = SweepCV(LinearHead(), {"C": [0.01, 1]}, scoring=make_scorer(accuracy_score), refit="accuracy", cv=3).fit(*blobs)
    assert not one.multimetric_
    assert one.best_score_ == one.cv_results_["mean_test_score"].max()
    none = SweepCV(LinearHead(), {"C": [0.01, 1]}, scoring=scores, refit=False, cv=3).fit(*blobs)
    assert none.multimetric_
    assert not hasattr(none, "best_index_")
    last = SweepCV(LinearHead(), {"C": [0.01, 1]}, scoring=scores, refit=lambda results: 1, cv=3).fit(*blobs)
    assert last.best_index_ == 1


def test_a_function_of_several_scores_may_fail_on_one_fold(blobs):
    calls = []

    def scores(head, X, y):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("once")
        return {"right": head.score(X, y), "half": 0.5}

    sweep = SweepCV(LinearHead(), {"C": [0.01, 1]}, scoring=scores, refit="right", cv=3).fit(*blobs)
    assert sweep.cv_results_["error"] == ["RuntimeError: once", None]
    assert sweep.best_index_ == 1


def test_weights_of_classes_go_by_the_columns_names_in_folds_and_refit_alike(blobs):
    X, y = blobs
    table = pd.DataFrame({"a": (y == "neg").astype(int), "b": (y == "pos").astype(int)})
    heavy = {"C": [1], "class_weight": [None, {"a": 1000.0}]}
    sweep = SweepCV(LinearHead(), heavy, cv=3, refit=lambda results: 1).fit(X, table)
    scores = sweep.cv_results_["mean_test_score"]
    assert scores[1] < scores[0]
    assert sweep.best_estimator_.predict(X)[:, 0].mean() > 1.2 * table["a"].mean()


@pytest.mark.parametrize("head", [LinearHead(), KNNHead(), MLPHead(hidden=8, max_epochs=2)])
def test_sets_of_labels_and_names_of_columns_are_taken_as_fit_takes_them(blobs, head):
    X, y = blobs
    sets = [{label} if number % 3 else {label, "odd"} for number, label in enumerate(y)]
    grid = {"standardize": [True]} if isinstance(head, MLPHead) else {"C": [1]} if isinstance(head, LinearHead) else {"k": [5]}
    assert SweepCV(head, grid, cv=3).fit(X, sets).classes_.tolist() == ["neg", "neu", "odd", "pos"]
    table = pd.DataFrame({name: [int(name in labels) for labels in sets] for name in ("pos", "odd", "neg")})
    assert SweepCV(head, grid, cv=3).fit(X, table).best_estimator_.classes_.tolist() == ["pos", "odd", "neg"]


def test_trials_are_printed_where_that_is_asked_for(blobs, capsys):
    SweepCV(LinearHead(), {"C": [1, -1]}, cv=3, verbose=1).fit(*blobs)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("{'C': 1}: score 0.")
    assert "{'C': -1}: " in told[1]


def test_arrow_backed_labels_and_frames_are_taken(blobs):
    X, y = blobs
    sweep = SweepCV(LinearHead(), {"C": [1.0]}, cv=3).fit(pd.DataFrame(X).add_prefix("f"), pd.Series(y, dtype="str"))
    assert sweep.predict(pd.DataFrame(X).add_prefix("f"))[0] in y


def test_groups_and_weights_reach_the_splitter_and_the_head(blobs):
    X, y = blobs
    groups, weight = np.arange(len(y)) % 7, (y == "pos") + 0.01
    ours = SweepCV(LinearHead(), {"C": [1.0]}, cv=GroupKFold(5)).fit(X, y, sample_weight=weight, groups=groups)
    theirs = GridSearchCV(LinearHead(), {"C": [1.0]}, cv=GroupKFold(5)).fit(X, y, groups=groups, sample_weight=weight)
    assert ours.best_score_ == pytest.approx(theirs.best_score_)


def test_processes_give_the_same_answer(blobs):
    one, two = (SweepCV(LinearHead(), {"C": [0.1, 1.0]}, cv=3, n_jobs=jobs).fit(*blobs) for jobs in (1, 2))
    np.testing.assert_allclose(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])


def test_several_scorers_need_one_that_decides(blobs):
    with pytest.raises(ValueError, match="`refit` must name"):
        SweepCV(LinearHead(), {"C": [1.0]}, scoring=["accuracy", "f1_macro"]).fit(*blobs)
    sweep = SweepCV(LinearHead(), {"C": [1.0]}, scoring=["accuracy"], refit=False).fit(*blobs)
    assert not hasattr(sweep, "best_params_")


def test_tokens_of_any_number_a_sample_are_swept(bags):
    samples, y = bags
    grid = {"lr": [1e-5, 1e-2]}
    sweep = SweepCV(ABMILHead(max_epochs=4), grid, cv=3).fit(samples, y)
    values, offsets = np.concatenate(samples), np.concatenate([[0], np.cumsum([len(sample) for sample in samples])])
    same = SweepCV(ABMILHead(max_epochs=4), grid, cv=3).fit(Tokens(values, offsets), y)
    assert sweep.best_params_ == {"lr": 1e-2}
    assert same.cv_results_["mean_test_score"].tolist() == sweep.cv_results_["mean_test_score"].tolist()


def test_n_jobs_is_the_number_of_threads_and_is_put_back():
    before = torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]
    with threads(1):
        assert torch.get_num_threads() == 1
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert (torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]) == before


def test_features_on_disk_are_swept_without_being_in_memory_together(blobs):
    X, y = blobs

    class OnDisk:
        """An array of which small parts alone can be read."""

        def __init__(self, rows):
            self.rows = rows
            self.shape, self.dtype = (len(rows), X.shape[1]), X.dtype

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, rows):
            taken = X[self.rows[rows]]
            assert len(taken) <= 64
            return taken

        def select(self, rows):
            return OnDisk(self.rows[rows])

    head = MLPHead(hidden=(8,), max_epochs=3, block_rows=16, batch_size=32, standardize=False)
    grid = {"lr": [0.01, 0.001]}
    folds = StratifiedKFold(3).split(X, y)
    disk = SweepCV(head, grid, cv=[*folds], refit=False, scoring=["accuracy"])
    small = {"heads.trained.PREDICTED_AT_ONCE": 64}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.items():
            patch.setattr(name, value)
        disk.fit(OnDisk(np.arange(len(X))), y)
    assert disk.cv_results_["error"] == [None, None]
    assert disk.cv_results_["mean_test_accuracy"].max() > 0.5


@pytest.mark.parametrize(
    ("head", "name", "value"),
    [(MLPHead(max_epochs=1), "lr", 0.0), (KNNHead(), "temperature", 0.0), (LinearHead(standardize=True), "whiten", -1.0)],
)
def test_no_engine_takes_what_fitting_would_refuse(head, name, value, blobs):
    good = head.get_params()[name]
    sweep = SweepCV(head, {name: [value, good]}, cv=2, error_score=np.nan).fit(*blobs)
    assert sweep.best_params_ == {name: good}
    assert f"The '{name}' parameter of {type(head).__name__}" in sweep.cv_results_["error"][0]
