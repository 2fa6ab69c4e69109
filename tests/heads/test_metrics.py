import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from heads import class_estimates, classification_metrics, confusion_matrix

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(pairs)
def test_values_are_scikit_learn_s(pairs):
    true, predicted = np.array(pairs).T
    found = {name: e.value for name, e in classification_metrics(true, predicted, None, 4, resamples=10).items()}
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(true, predicted),
        "balanced_accuracy": sklearn_metrics.recall_score(true, predicted, labels=np.unique(true), average="macro"),
        "f1_macro": sklearn_metrics.f1_score(true, predicted, average="macro", zero_division=0),
        "f1_weighted": sklearn_metrics.f1_score(true, predicted, average="weighted", zero_division=0),
        "precision_macro": sklearn_metrics.precision_score(true, predicted, average="macro", zero_division=0),
        "recall_macro": sklearn_metrics.recall_score(true, predicted, average="macro", zero_division=0),
        "f1_micro": sklearn_metrics.f1_score(true, predicted, average="micro", zero_division=0),
        "precision_weighted": sklearn_metrics.precision_score(true, predicted, average="weighted", zero_division=0),
        "recall_weighted": sklearn_metrics.recall_score(true, predicted, average="weighted", zero_division=0),
        "matthews_corrcoef": sklearn_metrics.matthews_corrcoef(true, predicted),
    }
    assert found == pytest.approx(expected)


def test_what_needs_probabilities_comes_only_with_them():
    true = np.arange(6) % 3
    assert classification_metrics(true, true, np.eye(3)[true], 3).keys() - classification_metrics(true, true, None, 3).keys() == {
        "log_loss", "calibration_error", "top_2_accuracy", "roc_auc_ovr",
    }  # fmt: skip


def test_every_class_has_its_intervals_and_one_without_samples_no_area():
    rng = np.random.default_rng(0)
    true, probabilities = rng.integers(3, size=300), rng.dirichlet(np.ones(4), size=300)
    found = class_estimates(true, probabilities.argmax(1), probabilities, 4)
    expected = sklearn_metrics.recall_score(true, probabilities.argmax(1), average=None, labels=range(4), zero_division=0)
    assert [row["recall"].value for row in found] == pytest.approx(expected)
    assert all(row["f1"].low < row["f1"].value < row["f1"].high for row in found[:3])
    assert found[3]["roc_auc"] is None
    assert found[1]["roc_auc"].value == pytest.approx(sklearn_metrics.roc_auc_score(true == 1, probabilities[:, 1]))


def test_intervals_are_those_of_the_ordinary_bootstrap():
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=400)
    predicted = np.where(rng.uniform(size=400) < 0.8, true, rng.integers(3, size=400))
    found = classification_metrics(true, predicted, None, 3, resamples=4000)
    draws = [rng.integers(400, size=400) for _ in range(600)]
    for name, metric in (
        ("accuracy", sklearn_metrics.accuracy_score),
        ("f1_macro", lambda t, p: sklearn_metrics.f1_score(t, p, average="macro")),
    ):
        expected = np.quantile([metric(true[rows], predicted[rows]) for rows in draws], [0.025, 0.975])
        assert [found[name].low, found[name].high] == pytest.approx(expected, abs=0.009)


def test_intervals_hold_the_value_and_shrink_with_samples():
    def width(count):
        true = np.arange(count) % 2
        predicted = np.where(np.arange(count) % 10 == 0, 1 - true, true)
        accuracy = classification_metrics(true, predicted, None, 2)["accuracy"]
        assert accuracy.low <= accuracy.value <= accuracy.high
        return accuracy.high - accuracy.low

    assert width(10_000) < width(100) / 5


def test_the_confusion_matrix():
    true, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])
    counts = confusion_matrix(true, predicted, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]


def test_an_accuracy_without_a_mistake_is_not_sure():
    true = np.arange(30) % 3
    found = classification_metrics(true, true, None, 3)["accuracy"]
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.8865, abs=1e-4)  # Wilson's score for 30 of 30
    wrong = classification_metrics(true, (true + 1) % 3, None, 3)["accuracy"]
    assert (wrong.value, wrong.low, wrong.high) == (0, 0, pytest.approx(1 - 0.8865, abs=1e-4))
