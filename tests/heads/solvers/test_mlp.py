import numpy as np
import pytest

from heads import MLPHead, SweepCV
from heads.solvers import mlp
from heads.solvers.engine import read_task
from heads.solvers.mlp import MLPEngine

TRIALS = [
    MLPHead(hidden=hidden, dropout=dropout, lr=lr, weight_decay=decay, max_epochs=8, batch_size=64, patience=2)
    for hidden in (16, (8, 4), ())
    for dropout in (0.0, 0.4)
    for lr, decay in ((1e-2, 1e-2), (3e-3, 0.0))
]


def task_of(blobs, weight=None):
    X, y = blobs
    return read_task(X, y, weight, [(np.arange(400), np.arange(400, 600)), (np.arange(100, 600), np.arange(100))])


@pytest.mark.parametrize("weighted", [False, True])
def test_every_trial_ends_where_it_would_end_alone(blobs, weighted):
    X, y = blobs
    weight = np.random.default_rng(0).uniform(size=len(y)) if weighted else None
    task = task_of(blobs, weight)
    solved = dict(MLPEngine().solve(TRIALS, task))
    for number, trial in enumerate(TRIALS):
        for fold, (train, test) in enumerate(task.folds):
            alone = MLPHead(**trial.get_params()).fit(X[train], y[train], None if weight is None else weight[train])
            head = solved[number][fold].head()
            np.testing.assert_allclose(head.history_.train_loss, alone.history_.train_loss, rtol=1e-4)
            np.testing.assert_allclose(head.history_.validation_loss, alone.history_.validation_loss, rtol=1e-4)
            np.testing.assert_allclose(head.history_.lr, alone.history_.lr, rtol=1e-6, atol=1e-12)
            assert head.history_.best_epoch == alone.history_.best_epoch
            assert head.n_iter_ == alone.n_iter_
            np.testing.assert_allclose(head.predict_proba(X), alone.predict_proba(X), atol=1e-3)
            assert np.array_equal(task.classes[solved[number][fold].predicted], head.predict(X[test]))


def test_members_that_stop_early_leave_and_the_others_go_on(blobs):
    trials = [MLPHead(hidden=64, lr=lr, max_epochs=40, patience=2, batch_size=64) for lr in (1e-1, 1e-2, 1e-3)]
    solved = dict(MLPEngine().solve(trials, task_of(blobs)))
    epochs = [solved[number][0].head().n_iter_ for number in range(3)]
    assert epochs[0] < epochs[2]
    alone = [MLPHead(**trial.get_params()).fit(*(part[:400] for part in blobs)).n_iter_ for trial in trials]
    assert epochs == alone


def test_without_enough_samples_to_hold_any_out_all_epochs_run(blobs):
    X, y = (part[:80] for part in blobs)
    task = read_task(X, y, None, [(np.arange(60), np.arange(60, 80))])
    ((_, (solved,)),) = MLPEngine().solve([MLPHead(hidden=8, max_epochs=5)], task)
    head, alone = solved.head(), MLPHead(hidden=8, max_epochs=5).fit(X[:60], y[:60])
    assert head.n_iter_ == 5
    assert head.history_.validation_loss == []
    assert head.history_.best_epoch == alone.history_.best_epoch
    np.testing.assert_allclose(head.predict_proba(X), alone.predict_proba(X), atol=1e-4)


def test_more_trials_than_memory_allows_are_trained_in_several_stacks_with_the_same_answers(blobs, monkeypatch):
    task, stacks = task_of(blobs), []
    train_stack = mlp.train_stack
    monkeypatch.setattr(mlp, "train_stack", lambda members, *rest: stacks.append(len(members)) or train_stack(members, *rest))
    whole = dict(MLPEngine().solve(TRIALS, task))
    assert stacks == [12, 12]
    monkeypatch.setattr(mlp, "MEMORY_LIMIT", 400_000)
    split = dict(MLPEngine().solve(TRIALS, task))
    assert len(stacks) > 6
    assert sum(stacks) == 48
    assert max(stacks[2:]) < 12
    for number in range(len(TRIALS)):
        for fold in range(2):
            assert np.array_equal(whole[number][fold].predicted, split[number][fold].predicted)


def test_a_training_whose_loss_is_lost_fails_as_it_would_alone_and_the_others_go_on(blobs):
    X, y = blobs
    folds, fast = [(np.arange(400), np.arange(400, 600))], {"max_epochs": 3, "hidden": 8, "batch_size": 64}
    sweep = SweepCV(MLPHead(**fast), {"lr": [1e-3, 1e25]}, cv=folds, refit=False).fit(X, y)
    with pytest.raises(FloatingPointError) as alone:
        MLPHead(lr=1e25, **fast).fit(X[:400], y[:400])
    assert sweep.cv_results_["error"] == [None, f"FloatingPointError: {alone.value}"]
    assert np.isfinite(sweep.cv_results_["mean_test_score"]).tolist() == [True, False]


def test_views_are_swept_one_by_one_and_answer_as_alone(blobs):
    X, y = blobs
    views = np.stack([X, X + np.float32(0.05), X - np.float32(0.05)], axis=1)
    folds = [(np.arange(400), np.arange(400, 600))]
    assert read_task(views, y, None, folds) is None
    sweep = SweepCV(MLPHead(max_epochs=3), {"hidden": [8, 16], "lr": [1e-2]}, cv=folds).fit(views, y)
    alone = [MLPHead(max_epochs=3, hidden=hidden, lr=1e-2).fit(views[:400], y[:400]) for hidden in (8, 16)]
    assert sweep.cv_results_["mean_test_score"].tolist() == [head.score(views[400:], y[400:]) for head in alone]


def test_class_weights_and_float64_are_kept(blobs):
    X, y = blobs
    trial = MLPHead(hidden=8, max_epochs=4, class_weight="balanced")
    task = read_task(X.astype(np.float64), y, None, [(np.arange(400), np.arange(400, 600))])
    ((_, (solved,)),) = MLPEngine().solve([trial], task)
    alone = MLPHead(**trial.get_params()).fit(X[:400].astype(np.float64), y[:400])
    np.testing.assert_allclose(solved.head().predict_proba(X), alone.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, True),
        ({"hidden": [np.int64(4), 2]}, True),
        ({"class_weight": {"neg": 2.0}}, True),
        ({"random_state": None}, False),
        ({"norm": "layer"}, False),
        ({"optimizer": "sgd"}, False),
        ({"mixup": 0.2}, False),
        ({"hidden": (0,)}, False),
        ({"hidden": "wide"}, False),
        ({"lr": -1.0}, False),
        ({"dropout": 1.5}, False),
        ({"batch_size": 0}, False),
        ({"validation_fraction": 0.2, "schedule": "cosine"}, True),
        ({"class_weight": {"unknown": 2.0}}, False),
    ],
)
def test_it_takes_what_a_stack_knows_and_leaves_the_rest_to_one_by_one(blobs, changes, taken):
    assert MLPEngine().takes(MLPHead(**changes), task_of(blobs)) is taken


def test_a_sweep_scores_stacked_trials_as_one_by_one_and_records_those_that_fail(blobs):
    X, y = blobs
    grid = {"hidden": [8], "dropout": [0.0, 2.0], "lr": [1e-2, 3e-3], "max_epochs": [4]}
    sweep = SweepCV(MLPHead(), grid, cv=3, scoring=["accuracy", "neg_log_loss"], refit="accuracy").fit(X, y)
    assert [error is None for error in sweep.cv_results_["error"]] == [True, True, False, False]
    alone = SweepCV(MLPHead(hidden=8, max_epochs=4, random_state=None), {"random_state": [0], "lr": [1e-2, 3e-3]}, cv=3)
    alone.set_params(estimator=type("Alone", (MLPHead,), {})(hidden=8, max_epochs=4)).fit(X, y)
    np.testing.assert_allclose(sweep.cv_results_["mean_test_accuracy"][:2], alone.cv_results_["mean_test_score"], atol=2 / 600)
    assert np.isfinite(sweep.cv_results_["mean_test_neg_log_loss"][:2]).all()
