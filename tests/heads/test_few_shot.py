import numpy as np
import pytest

from heads import LinearHead, few_shot_curve


@pytest.mark.parametrize("classes", [2, 3])
def test_every_accuracy_is_that_of_a_head_fitted_to_the_samples_drawn(blobs, classes):
    X, y = blobs
    X, y = (X[y != "neu"], y[y != "neu"]) if classes == 2 else (X, y)
    everything = int(np.unique(y, return_counts=True)[1].max())
    curve = few_shot_curve(X[:200], y[:200], X[200:], y[200:], sizes=[4, everything], seeds=3, C=10.0)
    assert curve.accuracy.shape == (3, 2)
    alone = LinearHead(C=10.0).fit(X[:200], y[:200]).score(X[200:], y[200:])
    np.testing.assert_allclose(curve.accuracy[:, 1], alone, atol=2 / len(y[200:]))
    assert curve.accuracy[:, 0].max() < alone


def test_more_samples_do_better_and_draws_differ_less(blobs):
    X, y = blobs
    curve = few_shot_curve(X[:450], y[:450], X[450:], y[450:], sizes=(1, 8, 128), seeds=8)
    assert curve.sizes.tolist() == [1, 8, 128]
    assert (np.diff(curve.mean) > 0).all()
    assert curve.deviation[0] > curve.deviation[2]


def test_draws_repeat_by_seed_and_hold_as_many_of_each_class(blobs):
    X, y = blobs
    one, same, other = (few_shot_curve(X, y, X, y, sizes=[2], seeds=2, random_state=seed).accuracy for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_sizes_below_one_and_unknown_test_labels_are_refused(blobs):
    X, y = blobs
    with pytest.raises(ValueError, match="each must be at least 1"):
        few_shot_curve(X, y, X, y, sizes=[0, 1])
    with pytest.raises(ValueError, match="training data do not have"):
        few_shot_curve(X[y != "neu"], y[y != "neu"], X, y)


def test_sizes_beyond_the_largest_class_are_all_of_it(blobs):
    X, y = blobs
    largest = int(np.unique(y, return_counts=True)[1].max())
    assert few_shot_curve(X, y, X, y, sizes=[2, 500, 5000], seeds=2).sizes.tolist() == [2, largest]
