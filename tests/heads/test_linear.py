import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heads import LinearHead, SweepCV


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_coefficients_are_scikit_learn_s_at_equal_c(blobs, C, classes, class_weight):
    X, y = blobs
    X, y = (X[y != "neu"], y[y != "neu"]) if classes == 2 else (X, y)
    reference = LogisticRegression(C=C, class_weight=class_weight, tol=1e-10, max_iter=10_000).fit(X.astype(np.float64), y)
    head = LinearHead(C=C, class_weight=class_weight).fit(X, y)
    assert head.coef_.shape == reference.coef_.shape
    assert np.linalg.norm(head.coef_ - reference.coef_) < 1e-3 * np.linalg.norm(reference.coef_)
    np.testing.assert_allclose(head.intercept_, reference.intercept_, atol=2e-3)
    np.testing.assert_allclose(head.predict_proba(X), reference.predict_proba(X), atol=1e-3)
    assert (head.predict(X) == reference.predict(X)).mean() > 0.995


@pytest.mark.parametrize("labels", [pd.Series, pd.Categorical, list, lambda y: pd.array(y, dtype="string")])
def test_labels_come_in_any_shape(blobs, labels):
    X, y = blobs
    head = LinearHead().fit(X, labels(y))
    assert head.classes_.tolist() == ["neg", "neu", "pos"]
    assert set(head.predict(X)) <= set(y)


@pytest.mark.parametrize("y", [np.array([True, False] * 10), np.array([3, 7] * 10)])
def test_labels_that_are_no_texts_stay_what_they_are(y):
    X = np.random.default_rng(0).normal(size=(20, 3)) + y[:, None]
    assert LinearHead().fit(X, y).predict(X).dtype == y.dtype


def test_one_class_is_an_error():
    with pytest.raises(ValueError, match="at least 2 classes"):
        LinearHead().fit(np.zeros((5, 2)), ["a"] * 5)


@pytest.mark.slow
def test_real_features_of_questions_reach_the_stated_accuracy_and_scikit_learn_s_coefficients(shared_data, tmp_path):
    """TREC with the linear head: at least 0.895 on the test split, with the penalty chosen by validation alone."""
    from extract import BackboneSpec, Columns, extract, load_samples
    from heads import SweepCV, choose_splitter

    samples = load_samples(shared_data / "trec.csv", Columns("text", "label", "split"))
    features = extract(samples, BackboneSpec("all-MiniLM-L6-v2", max_length=64), str(tmp_path))
    X, y, split = features.array(), np.array(samples.labels)[features.rows], np.array(samples.splits)[features.rows]
    train = split == "train"
    sweep = SweepCV(LinearHead(), {"C": [1.0, 3.0, 10.0]}, cv=choose_splitter(y[train])).fit(X[train], y[train])
    assert sweep.score(X[~train], y[~train]) >= 0.895
    reference = LogisticRegression(C=1.0, tol=1e-9, max_iter=3000, solver="newton-cg").fit(
        X[train].astype(np.float64), y[train]
    )
    head = LinearHead(C=1.0).fit(X[train], y[train])
    assert np.linalg.norm(head.coef_ - reference.coef_) < 1e-3 * np.linalg.norm(reference.coef_)


@pytest.mark.parametrize("classes", [2, 3])
def test_standardised_features_are_scikit_learn_s_pipeline_with_coefficients_of_the_raw_features(blobs, classes):
    X, y = blobs
    X, y = (X[y != "neu"], y[y != "neu"]) if classes == 2 else (X, y)
    X = X * np.geomspace(0.01, 100, X.shape[1]).astype(np.float32) + 3
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, tol=1e-10, max_iter=10_000)).fit(X.astype(float), y)
    head = LinearHead(C=0.3, standardize=True).fit(X, y)
    np.testing.assert_allclose(head.predict_proba(X), reference.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("standardize", [False, True])
def test_with_more_features_than_samples_the_minimum_is_the_same(blobs, standardize):
    X, y = np.tanh(blobs[0] @ np.random.default_rng(1).normal(size=(20, 300))), blobs[1]
    few, rest = slice(0, 60), slice(60, None)
    pipeline = make_pipeline(StandardScaler() if standardize else "passthrough", LogisticRegression(tol=1e-10, max_iter=10_000))
    reference = pipeline.fit(X[few], y[few])
    head = LinearHead(standardize=standardize).fit(X[few], y[few])
    assert head.coef_.shape == (3, 300)
    np.testing.assert_allclose(head.predict_proba(X[rest]), reference.predict_proba(X[rest]), atol=1e-5)


@pytest.mark.parametrize("standardize", [False, True])
def test_features_that_are_the_same_for_all_samples_leave_the_share_of_the_classes(standardize):
    X, y = np.full((20, 64), 0.3, np.float32), ["a"] * 15 + ["b"] * 5
    head = LinearHead(standardize=standardize).fit(X, y)
    np.testing.assert_allclose(head.predict_proba(X), [[0.75, 0.25]] * 20, atol=1e-3)
    sweep = SweepCV(LinearHead(standardize=standardize), {"C": [0.1, 1.0]}, cv=5, error_score="raise").fit(X, y)
    assert sweep.cv_results_["mean_test_score"].tolist() == [0.75, 0.75]
