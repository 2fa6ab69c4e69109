import numpy as np
import pytest
import torch

from heads.solvers.rotation import rotate


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)])
def test_a_solution_scores_the_same_on_either_side(shape):
    X = np.random.default_rng(0).normal(loc=3, size=shape)
    features = rotate(X, torch.float64)
    assert features.values.shape == (shape[0], min(shape[0] - (shape[0] < shape[1]), shape[1]) + 1)
    solution = torch.randn(2, 3, features.values.shape[1], dtype=torch.float64)
    coef, intercept = features.to_weights(solution)
    scores = np.einsum("nd,bcd->bcn", X, coef) + intercept[..., None]
    np.testing.assert_allclose(scores, solution @ features.values.T, atol=1e-9)
    np.testing.assert_allclose(features.from_weights(coef, intercept), solution, atol=1e-9)


def test_the_axes_are_uncorrelated():
    X = np.random.default_rng(0).normal(size=(100, 6)) @ np.random.default_rng(1).normal(size=(6, 6))
    values = rotate(X, torch.float64).values[:, :-1]
    gram = (values.T @ values).numpy()
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-9 * gram.max()
