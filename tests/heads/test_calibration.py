import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from heads.calibration import (
    apply_temperature,
    apply_temperature_to_labels,
    calibration_error,
    fit_temperature,
    tune_threshold,
)


def draw(rng, logits):
    """Draw labels from what the logits say."""
    return (logits - np.log(-np.log(rng.uniform(size=logits.shape)))).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_a_head_too_sure_is_found_again(temperature):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 4))
    true = draw(rng, logits)
    too_sure = softmax(temperature * logits, axis=1)
    found = fit_temperature(too_sure, true)
    assert found == pytest.approx(temperature, rel=0.05)
    calibrated = apply_temperature(too_sure, found)
    assert calibration_error(calibrated, true) < 0.02
    assert (calibrated.argmax(axis=1) == too_sure.argmax(axis=1)).all()
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)


def test_every_label_of_a_multi_label_head_is_scaled_alone():
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 3))
    true = (rng.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits))).astype(int)
    too_sure = 1 / (1 + np.exp(-2.5 * logits))
    assert fit_temperature(too_sure, true) == pytest.approx(2.5, rel=0.05)
    np.testing.assert_allclose(apply_temperature_to_labels(too_sure, 2.5), 1 / (1 + np.exp(-logits)), rtol=1e-4)


def test_probabilities_of_zero_and_one_do_no_harm():
    certain, true = np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 1])
    assert np.isfinite(fit_temperature(certain, true))
    assert np.isfinite(apply_temperature(certain, 0.01)).all()
    assert np.isfinite(apply_temperature_to_labels(certain, 0.01)).all()


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy():
    probabilities = np.tile([0.9, 0.1], (100, 1))
    assert calibration_error(probabilities, np.array([0] * 90 + [1] * 10)) == pytest.approx(0, abs=1e-9)
    assert calibration_error(probabilities, np.array([0] * 50 + [1] * 50)) == pytest.approx(0.4)


METRICS = {
    "f1": lambda y, p: f1_score(y, p, zero_division=0),
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
}


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.7, 1.0]), st.booleans()), min_size=2, max_size=30),
    st.sampled_from(sorted(METRICS)),
)
@pytest.mark.filterwarnings("ignore")
def test_no_threshold_is_better_than_the_one_chosen(samples, metric):
    scores, positive = np.array([s for s, _ in samples]), np.array([p for _, p in samples])
    if metric == "balanced_accuracy" and len(set(positive.tolist())) < 2:
        return
    chosen = tune_threshold(scores, positive, metric)
    value = METRICS[metric](positive, scores >= chosen)
    for threshold in (-0.05, 0.05, 0.15, 0.3, 0.5, 0.6, 0.8, 1.05):
        assert value >= METRICS[metric](positive, scores >= threshold) - 1e-9


def test_a_threshold_for_a_metric_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="metrics are f1"):
        tune_threshold(np.array([0.1, 0.9]), np.array([False, True]), "auc")


@pytest.mark.parametrize("several", [False, True])
def test_samples_without_a_mistake_do_not_make_a_head_certain(several):
    probabilities = np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])
    true = (probabilities > 0.5).astype(int) if several else probabilities.argmax(axis=1)
    assert fit_temperature(probabilities, true) == 1
