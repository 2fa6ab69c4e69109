import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize

from heads import NearestMeanHead


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_each_sample_belongs_to_the_nearest_mean(blobs, metric):
    X, y = blobs
    prepared = normalize(X) if metric == "cosine" else X
    head = NearestMeanHead(metric).fit(X, y)
    assert np.array_equal(head.predict(X), NearestCentroid().fit(prepared, y).predict(prepared))


def test_the_probabilities_are_those_of_spherical_gaussians(blobs):
    X, y = blobs
    head = NearestMeanHead().fit(X, y)
    means = np.stack([X[y == name].mean(axis=0) for name in head.classes_])
    variance = np.mean([((X[row] - means[list(head.classes_).index(y[row])]) ** 2).mean() for row in range(len(X))])
    density = np.exp(-((X[:, None] - means) ** 2).sum(axis=2) / (2 * variance))
    np.testing.assert_allclose(head.predict_proba(X), density / density.sum(axis=1, keepdims=True), atol=1e-4)


def test_a_class_without_weight_and_an_unknown_metric_are_refused(blobs):
    X, y = blobs
    with pytest.raises(ValueError, match="has no weight"):
        NearestMeanHead().fit(X, y, sample_weight=(y != "neu").astype(float))
    with pytest.raises(ValueError, match="may be `euclidean` or `cosine`"):
        NearestMeanHead("l1").fit(X, y)
