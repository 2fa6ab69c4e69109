import numpy as np
import pytest
from sklearn.model_selection import GroupKFold

from heads import MLPHead, MLPRegressor, SweepCV
from heads.held_out import choose_held_out


def test_every_class_is_held_out_in_its_share_and_a_class_of_one_does_no_harm():
    codes = np.repeat([0, 1, 2], [500, 300, 200])
    held_out = choose_held_out(1000, codes, None, 0.1, seed=0)
    assert np.bincount(codes[held_out]).tolist() == [50, 30, 20]
    assert choose_held_out(101, np.array([0] * 100 + [1]), None, 0.1, seed=0).sum() == 10


def test_groups_are_held_out_whole():
    groups = np.arange(400) % 37
    held_out = choose_held_out(400, np.zeros(400, int), groups, 0.2, seed=0)
    assert not set(groups[held_out]) & set(groups[~held_out])
    assert 0.1 < held_out.mean() < 0.3


def test_of_a_single_group_nothing_is_held_out():
    assert not choose_held_out(400, np.arange(400) % 2, np.zeros(400), 0.2, seed=0).any()


@pytest.mark.parametrize("changes", [{}, {"mixup": 0.2}], ids=["in a stack", "one by one"])
def test_early_stopping_within_a_sweep_s_folds_watches_whole_groups(blobs, changes):
    X, y = blobs
    groups = np.arange(len(y)) % 40
    grid = {"lr": [1e-3, 1e-2]}
    head = MLPHead(hidden=16, max_epochs=4, patience=2, **changes)
    sweep = SweepCV(head, grid, cv=GroupKFold(2)).fit(X, y, groups=groups)
    for fold, (train, test) in enumerate(GroupKFold(2).split(X, y, groups)):
        alone = MLPHead(hidden=16, max_epochs=4, patience=2, lr=1e-2, **changes).fit(X[train], y[train], groups=groups[train])
        assert sweep.cv_results_[f"split{fold}_test_score"][1] == pytest.approx(
            alone.score(X[test], y[test]), abs=2 / len(test)
        )
    best = MLPHead(hidden=16, max_epochs=4, patience=2, **changes, **sweep.best_params_).fit(X, y, groups=groups)
    assert best.history_.validation_loss == sweep.best_estimator_.history_.validation_loss


def test_few_samples_or_no_share_hold_out_nothing():
    assert not choose_held_out(99, np.arange(99) % 2, None, 0.5, seed=0).any()
    assert not choose_held_out(500, None, None, 0.0, seed=0).any()


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1_macro", "neg_log_loss", "roc_auc_ovr"])
def test_any_scorer_can_decide_which_weights_are_kept(blobs, metric):
    X, y = blobs
    rows = np.arange(len(y)) < 400
    head = MLPHead(hidden=16, lr=1e-2, metric=metric, max_epochs=8).fit(X[rows], y[rows], validation=(X[~rows], y[~rows]))
    from sklearn.metrics import get_scorer

    assert get_scorer(metric)(head, X[~rows], y[~rows]) == pytest.approx(max(head.history_.score))


def test_scorers_of_several_labels_and_of_values_can_decide_too(blobs):
    X, _ = blobs
    several = MLPHead(metric="f1_micro", max_epochs=5).fit(X, (X[:, :3] > 0).astype(int))
    values = MLPRegressor(metric="r2", max_epochs=5).fit(X, X[:, :2])
    for head in (several, values):
        assert len(head.history_.score) == head.n_iter_
        assert head.history_.score[head.history_.best_epoch] == max(head.history_.score)
