import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from heads import calibration_error, classification_metrics, probability_metrics, reliability
from heads.probabilities import area_estimates


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    probabilities = np.round(rng.dirichlet(np.ones(6), size=500), 2) + 1e-4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    true = np.array([rng.choice(6, p=row) for row in probabilities])
    return true, probabilities


def test_values_are_scikit_learn_s(predictions):
    true, probabilities = predictions
    found = probability_metrics(true, probabilities)
    expected = {
        "log_loss": sklearn_metrics.log_loss(true, probabilities),
        "calibration_error": calibration_error(probabilities, true),
        "roc_auc_ovr": sklearn_metrics.roc_auc_score(true, probabilities, multi_class="ovr"),
        "top_2_accuracy": sklearn_metrics.top_k_accuracy_score(true, probabilities + np.linspace(1e-9, 0, 6), k=2),
        "top_3_accuracy": sklearn_metrics.top_k_accuracy_score(true, probabilities + np.linspace(1e-9, 0, 6), k=3),
        "top_5_accuracy": sklearn_metrics.top_k_accuracy_score(true, probabilities + np.linspace(1e-9, 0, 6), k=5),
    }
    assert {name: entry.value for name, entry in found.items()} == pytest.approx(expected)
    for name in expected.keys() - {"calibration_error"}:  # whose resampled values lie higher: noise adds to a distance
        assert found[name].low < found[name].value < found[name].high


def test_of_two_classes_the_second_is_the_positive_one(predictions):
    true, probabilities = predictions
    two = np.stack([1 - probabilities[:, 0], probabilities[:, 0]], axis=1)
    found = probability_metrics((true == 0).astype(int), two)
    assert found["roc_auc"].value == pytest.approx(sklearn_metrics.roc_auc_score(true == 0, probabilities[:, 0]))
    assert "roc_auc_ovr" not in found


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=40))
def test_an_area_counts_ties_as_half_and_is_none_where_nothing_is_to_be_told_apart(pairs):
    positive, scores = (np.array(part) for part in zip(*pairs, strict=True))
    areas = area_estimates(positive[:, None].astype(bool), scores[:, None].astype(float), resamples=50)
    if positive.all() or not positive.any():
        assert areas.mean is None
        assert areas.columns == [None]
    else:
        assert areas.columns[0].value == pytest.approx(sklearn_metrics.roc_auc_score(positive, scores))


def test_an_interval_is_that_of_the_ordinary_bootstrap(predictions):
    true, probabilities = predictions
    positive, scores = true == 0, probabilities[:, 0]
    rng = np.random.default_rng(1)
    draws = [rng.integers(len(true), size=len(true)) for _ in range(800)]
    expected = np.quantile([sklearn_metrics.roc_auc_score(positive[r], scores[r]) for r in draws], [0.025, 0.975])
    found = area_estimates(positive[:, None], scores[:, None]).columns[0]
    assert [found.low, found.high] == pytest.approx(expected, abs=0.01)


def test_where_drawing_would_take_too_long_the_intervals_are_much_the_same(predictions, monkeypatch):
    true, probabilities = predictions
    positive = true[:, None] == np.arange(6)
    drawn = area_estimates(positive, probabilities)
    monkeypatch.setattr("heads.probabilities._WORK", 1000)
    found = area_estimates(positive, probabilities)
    for one, other in zip(found.columns, drawn.columns, strict=True):
        assert one.value == pytest.approx(other.value)
        assert [one.low, one.high] == pytest.approx([other.low, other.high], abs=0.03)
    assert found.mean.value == pytest.approx(drawn.mean.value)


def test_a_calibration_curve_leaves_empty_bins_out_and_holds_the_accuracy_in_its_interval():
    confidence, right = np.array([0.91, 0.93, 0.92, 0.95, 1.0]), np.array([True, True, False, True, True])
    curve = reliability(confidence, right, bins=10)
    assert curve.samples == [5]
    assert curve.accuracy == [0.8]
    assert curve.confidence[0] == pytest.approx(0.942)
    assert 0 < curve.low[0] < 0.8 < curve.high[0] < 1


def test_a_calibration_error_may_be_of_answers_that_a_threshold_chose():
    true, probabilities = np.repeat([0, 1], 50), np.tile([0.7, 0.3], (100, 1))
    errors = [probability_metrics(true, probabilities, predicted=answers)["calibration_error"].value
              for answers in (None, np.zeros(100, int), np.ones(100, int), true)]  # fmt: skip
    assert errors == pytest.approx([0.2, 0.2, 0.2, 0.5])
    found = classification_metrics(true, true, probabilities, 2, resamples=50)
    assert found["calibration_error"].value == pytest.approx(0.5)
