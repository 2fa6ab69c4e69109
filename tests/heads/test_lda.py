import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from heads import LDAHead


@pytest.mark.parametrize("shrinkage", ["auto", 0.3])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_scikit_learn_s_shrunk_discriminant(blobs, shrinkage, classes):
    X, y = blobs
    X, y = (X[y != "neu"], y[y != "neu"]) if classes == 2 else (X, y)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(X, y)
    head = LDAHead(shrinkage=shrinkage).fit(X, y)
    np.testing.assert_allclose(head.predict_proba(X), reference.predict_proba(X), atol=1e-4)
    assert np.array_equal(head.predict(X), reference.predict(X))


@pytest.mark.parametrize("shrinkage", ["auto", 0.0, 0.3])
def test_a_sample_of_weight_two_is_two_samples_and_one_of_none_is_none(blobs, shrinkage):
    X, y = blobs
    weight = np.random.default_rng(0).integers(3, size=len(y))
    weighted = LDAHead(shrinkage=shrinkage).fit(X, y, weight)
    repeated = LDAHead(shrinkage=shrinkage).fit(X.repeat(weight, axis=0), y.repeat(weight))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weighted.intercept_, repeated.intercept_, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "weight", "message"),
    [
        ({"shrinkage": 1.5}, None, "`shrinkage` is 1.5; it may be `auto`, or from 0 to 1"),
        ({"priors": [0.5, 0.5]}, None, "a share from 0 for each of 3 classes"),
        ({}, "pos", "class 'pos' has no weight"),
    ],
)
def test_what_cannot_be_fitted_is_told_in_one_line(blobs, params, weight, message):
    X, y = blobs
    with pytest.raises(ValueError, match=message):
        LDAHead(**params).fit(X, y, None if weight is None else (y != weight).astype(float))


def test_several_labels_a_sample_are_refused_with_the_heads_that_take_them(blobs):
    X, _ = blobs
    with pytest.raises(ValueError, match="use a linear, ridge or k-NN head"):
        LDAHead().fit(X, X[:, :3] > 0)
