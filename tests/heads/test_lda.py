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


def test_several_labels_a_sample_are_refused_with_the_heads_that_take_them(blobs):
    X, _ = blobs
    with pytest.raises(ValueError, match="use a linear, ridge or k-NN head"):
        LDAHead().fit(X, X[:, :3] > 0)
