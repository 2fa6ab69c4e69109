import numpy as np
import pytest

from heads import MLPHead, MLPRegressor
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
        assert head.history_.best_epoch == int(np.argmax(head.history_.score))
