import numpy as np
import pytest

from heads.span import RowSpan


@pytest.mark.parametrize("rank", [12, 5])
def test_coordinates_keep_inner_products_and_weights_keep_scores_and_norms(rank):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, rank)) @ rng.normal(size=(rank, 40))
    span = RowSpan(X)
    np.testing.assert_allclose(span.coordinates @ span.coordinates.T, X @ X.T, atol=1e-10)
    coef = rng.normal(size=(3, 12))
    lifted = span.lift(coef)
    assert lifted.shape == (3, 40)
    np.testing.assert_allclose(X @ lifted.T, span.coordinates @ coef.T, atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(lifted), np.linalg.norm(coef))
