import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import normalize

from heads import KNNHead, KNNRegressor, load_head, save_head


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_labels_are_scikit_learn_s(blobs, weights, metric):
    X, y = blobs
    prepared = normalize(X) if metric == "cosine" else X
    reference = KNeighborsClassifier(7, weights=weights, algorithm="brute").fit(prepared[:400], y[:400])
    head = KNNHead(k=7, weights=weights, metric=metric).fit(X[:400], y[:400])
    np.testing.assert_allclose(head.predict_proba(X[400:]), reference.predict_proba(prepared[400:]), atol=2e-3)


def test_softmax_votes_are_exponentials_of_the_cosine(blobs):
    X, y = blobs
    head = KNNHead(k=5, weights="softmax", temperature=0.1).fit(X[:400], y[:400])
    similar = normalize(X[400:]) @ normalize(X[:400]).T
    for row, found in zip(similar, head.predict_proba(X[400:]), strict=True):
        nearest = np.argsort(-row)[:5]
        votes = np.array([np.exp(row[nearest] / 0.1)[y[:400][nearest] == name].sum() for name in head.classes_])
        np.testing.assert_allclose(found, votes / votes.sum(), atol=2e-3)


def test_the_nearest_of_all_decides_where_it_is_the_sample_itself(blobs):
    X, y = blobs
    assert KNNHead(k=50).fit(X, y).score(X, y) == 1.0


def test_more_neighbours_than_samples_are_all_samples():
    X = np.eye(3)
    assert KNNHead(k=99, weights="uniform").fit(X, [0, 0, 1]).predict_proba(X)[0] == pytest.approx([2 / 3, 1 / 3], abs=1e-3)


def test_values_are_averaged_as_scikit_learn_does(blobs):
    X, _ = blobs
    y = X[:, :2].astype(np.float64)
    reference = KNeighborsRegressor(5, weights="distance", algorithm="brute").fit(X[:400], y[:400])
    found = KNNRegressor(k=5, metric="euclidean").fit(X[:400], y[:400]).predict(X[400:])
    np.testing.assert_allclose(found, reference.predict(X[400:]), atol=1e-4)


@pytest.mark.parametrize("params", [{"metric": "manhattan"}, {"weights": "some"}])
def test_what_does_not_exist_is_told_with_what_does(blobs, params):
    with pytest.raises(ValueError, match="parameter of KNNHead must be a str among"):
        KNNHead(**params).fit(*blobs)


@pytest.mark.parametrize("weights", ["uniform", "distance", "softmax"])
def test_a_weight_is_how_often_a_sample_counts(blobs, weights):
    X, y = blobs
    times = np.random.default_rng(0).integers(0, 4, 400)
    weighted = KNNHead(7, weights=weights).fit(X[:400], y[:400], sample_weight=times)
    repeated = KNNHead(7, weights=weights).fit(np.repeat(X[:400], times, axis=0), np.repeat(y[:400], times))
    np.testing.assert_allclose(weighted.predict_proba(X[400:]), repeated.predict_proba(X[400:]), atol=1e-5)
    values = KNNRegressor(7, weights=weights).fit(X[:400], X[:400, 0], sample_weight=times)
    expected = KNNRegressor(7, weights=weights).fit(np.repeat(X[:400], times, axis=0), np.repeat(X[:400, 0], times))
    np.testing.assert_allclose(values.predict(X[400:]), expected.predict(X[400:]), atol=1e-5)


def test_light_samples_are_searched_until_they_weigh_enough(blobs):
    X, y = blobs
    light = KNNHead(5).fit(X[:400], y[:400], sample_weight=np.full(400, 0.1))
    np.testing.assert_allclose(
        light.predict_proba(X[400:]), KNNHead(50).fit(X[:400], y[:400]).predict_proba(X[400:]), atol=1e-6
    )


def test_weights_come_back_with_a_saved_head(blobs, tmp_path):
    X, y = blobs
    head = KNNHead(5).fit(X[:400], y[:400], sample_weight=np.linspace(0, 2, 400))
    save_head(head, str(tmp_path))
    np.testing.assert_array_equal(load_head(str(tmp_path)).head.predict_proba(X), head.predict_proba(X))
