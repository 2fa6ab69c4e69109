import numpy as np
import pytest

from heads.ensemble import greedy_weights, mean_prediction, top_weights


@pytest.fixture(scope="module")
def trials():
    """Five heads' probabilities, each wrong in its own way, and the true classes."""
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=2000)
    logits = [2 * np.eye(3)[true] + noise * rng.normal(size=(2000, 3)) for noise in (1.5, 1.6, 1.7, 3.0, 9.0)]
    return [np.exp(part) / np.exp(part).sum(axis=1, keepdims=True) for part in logits], true


def accuracy_of(true):
    return lambda mean: float((mean.argmax(axis=1) == true).mean())


def test_an_ensemble_is_at_least_as_good_as_its_best_member_where_it_was_chosen(trials):
    predictions, true = trials
    weights = greedy_weights(predictions, accuracy_of(true), 10)
    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).sum() > 1
    assert weights[4] == 0
    score = accuracy_of(true)
    assert score(mean_prediction(predictions, weights)) > score(predictions[0]) + 0.02


def test_an_ensemble_of_equals_is_one_head(trials):
    predictions, true = trials
    assert greedy_weights([predictions[0]] * 3, accuracy_of(true), 5).tolist() == [1, 0, 0]


def test_a_plain_mean_takes_the_best():
    assert top_weights(4, 2).tolist() == [0.5, 0.5, 0, 0]
    assert top_weights(2, 5).tolist() == [0.5, 0.5]


def test_no_trial_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        greedy_weights([], accuracy_of(np.zeros(1)), 3)
