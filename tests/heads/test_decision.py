import json

import numpy as np
import pytest

from heads.decision import Decision, fit_decision


@pytest.fixture
def binary():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 5, size=2000)
    return np.stack([1 - p, p], axis=1), (rng.uniform(size=2000) < p).astype(int)


def test_a_decision_left_alone_changes_nothing(binary):
    probabilities, _ = binary
    decision = Decision()
    assert decision.class_probabilities(probabilities) is probabilities
    assert (decision.classes(probabilities) == probabilities.argmax(axis=1)).all()
    assert (decision.labels(probabilities) == (probabilities >= 0.5)).all()


def test_a_rare_class_is_found_by_its_threshold(binary):
    probabilities, true = binary
    decision = fit_decision(probabilities, true, temperature=True, thresholds="f1", coverage=0.9)
    assert decision.thresholds[0] < 0.45
    answers = decision.classes(decision.class_probabilities(probabilities))
    assert 2 * (answers & true).sum() / (answers.sum() + true.sum()) > 0.4
    again = Decision.from_dict(json.loads(json.dumps(decision.to_dict())))
    assert again == decision


def test_every_label_has_its_threshold():
    rng = np.random.default_rng(0)
    p = rng.beta([1, 3], [5, 3], size=(1000, 2))
    decision = fit_decision(p, (rng.uniform(size=p.shape) < p).astype(int), thresholds="f1")
    assert len(decision.thresholds) == 2
    assert decision.labels(p)[:, 0].mean() > (p[:, 0] >= 0.5).mean()


def test_numbers_get_intervals():
    rng = np.random.default_rng(0)
    true = rng.normal(size=500)
    decision = fit_decision(true + rng.normal(size=500), true, coverage=0.9)
    assert decision.intervals.radius == pytest.approx(1.64, abs=0.2)


@pytest.mark.parametrize(
    ("predictions", "true", "asked", "message"),
    [
        (np.zeros(9), np.zeros(9), {"temperature": True}, "numbers are predicted"),
        (np.full((9, 3), 1 / 3), np.zeros(9, int), {"thresholds": "f1"}, "there are 3 classes"),
        (np.full((9, 3), 0.5), np.zeros((9, 3), int), {"coverage": 0.9}, "several labels"),
    ],
)
def test_what_does_not_go_with_the_targets_is_refused(predictions, true, asked, message):
    with pytest.raises(ValueError, match=message):
        fit_decision(predictions, true, **asked)


@pytest.mark.parametrize("content", [{}, {"temperature": "x", "thresholds": None, "sets": None, "intervals": None}])
def test_what_is_no_decision_is_refused(content):
    with pytest.raises(ValueError, match="not a decision"):
        Decision.from_dict(content)
