import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from heads.predictions import class_probabilities, label_probabilities, score_predictions


def test_probabilities_stand_in_the_order_of_the_task_s_classes(blobs):
    X, y = blobs
    head = LogisticRegression().fit(X[y != "neu"], y[y != "neu"])
    table = class_probabilities(head, X, ["a new class", "pos", "neu", "neg"])
    np.testing.assert_allclose(table[:, [3, 1]], head.predict_proba(X))
    assert (table[:, [0, 2]] == 0).all()


def test_a_head_without_probabilities_votes(blobs):
    X, y = blobs
    head = LinearSVC().fit(X, y)
    table = class_probabilities(head, X, ["neg", "neu", "pos"])
    assert (table.sum(axis=1) == 1).all()
    assert (np.array(["neg", "neu", "pos"])[table.argmax(axis=1)] == head.predict(X)).all()


def test_labels_have_one_column_each_in_whatever_form_a_head_gives_them(blobs):
    X, y = blobs
    Y = np.stack([y == "neg", y != "pos", np.ones(len(y), bool)], axis=1).astype(int)
    forest = RandomForestClassifier(5, random_state=0).fit(X, Y)
    table = label_probabilities(forest, X)
    assert table.shape == Y.shape
    np.testing.assert_allclose(table[:, 0], forest.predict_proba(X)[0][:, 1])
    assert (table[:, 2] == 1).all()
    assert ((label_probabilities(OneVsRestClassifier(LinearSVC()).fit(X, Y[:, :2]), X) == Y[:, :2]).mean(axis=0) > 0.5).all()


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1_macro", "f1_micro", "f1_weighted", "neg_log_loss"])
def test_scores_are_those_of_scikit_learn_s_scorers(blobs, metric):
    X, y = blobs
    head = LogisticRegression().fit(X[:300], y[:300])
    codes = np.searchsorted(head.classes_, y)
    assert score_predictions(head.predict_proba(X), codes, metric) == pytest.approx(get_scorer(metric)(head, X, y))


def test_numbers_and_labels_are_scored():
    true = np.array([1.0, 2.0, 4.0])
    assert score_predictions(true + 1, true, "neg_mean_absolute_error") == -1
    assert score_predictions(true, true, "r2") == 1
    labels = np.array([[1, 0], [0, 1]])
    assert (
        score_predictions(labels * 0.9, labels, "accuracy") == score_predictions(labels * 0.9, labels, "average_precision") == 1
    )
    with pytest.raises(ValueError, match="`auc` is no metric"):
        score_predictions(true, true, "auc")
