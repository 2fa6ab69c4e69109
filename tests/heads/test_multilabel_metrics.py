import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    hamming_loss,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from heads.multilabel_metrics import label_estimates, multilabel_metrics


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    p = np.round(rng.beta(1, 2, size=(400, 3)), 2)
    true = (rng.uniform(size=p.shape) < p).astype(int)
    return true, (p > 0.4).astype(int), p


def test_values_are_scikit_learn_s(predictions):
    true, predicted, p = predictions
    found = multilabel_metrics(true, predicted, p)
    expected = {
        "f1_macro": f1_score(true, predicted, average="macro"),
        "f1_micro": f1_score(true, predicted, average="micro"),
        "precision_macro": precision_score(true, predicted, average="macro"),
        "recall_macro": recall_score(true, predicted, average="macro"),
        "accuracy": accuracy_score(true, predicted),
        "average_precision": average_precision_score(true, p, average="macro"),
        "f1_weighted": f1_score(true, predicted, average="weighted"),
        "precision_micro": precision_score(true, predicted, average="micro"),
        "recall_micro": recall_score(true, predicted, average="micro"),
        "hamming_loss": hamming_loss(true, predicted),
        "roc_auc": roc_auc_score(true, p, average="macro"),
        "log_loss": np.mean([log_loss(true[:, label], np.clip(p[:, label], 1e-15, 1)) for label in range(3)]),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value)
        assert found[name].low < value < found[name].high


def test_a_label_that_nobody_has_and_a_head_without_probabilities_do_no_harm(predictions):
    true, predicted, p = predictions
    true = true * [1, 1, 0]
    found = multilabel_metrics(true, predicted, p)
    assert found["average_precision"].value == pytest.approx(average_precision_score(true[:, :2], p[:, :2], average="macro"))
    assert "average_precision" not in multilabel_metrics(true, predicted, None)


def test_every_label_has_its_intervals(predictions):
    true, predicted, p = predictions
    for label, row in enumerate(label_estimates(true, predicted, p)):
        for name, metric in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            assert row[name].value == pytest.approx(metric(true[:, label], predicted[:, label]))
            assert row[name].low < row[name].value < row[name].high
        assert row["roc_auc"].value == pytest.approx(roc_auc_score(true[:, label], p[:, label]))
