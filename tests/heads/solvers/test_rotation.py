import numpy as np
import pytest
import torch

from heads.scaling import fit_scaling
from heads.solvers import rotation
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


@pytest.mark.parametrize("width", [6, 90])
def test_rows_that_are_not_trained_on_are_turned_along(width):
    X = np.random.default_rng(0).normal(loc=3, size=(40, width))
    trained = np.arange(10, 40)
    scaling = fit_scaling(X[trained], np.ones(30))
    features = rotate(X, torch.float64, scaling=scaling, trained=trained)
    alone = rotate(scaling.apply(X[trained]), torch.float64)
    solution = torch.randn(3, features.values.shape[1], dtype=torch.float64)
    coef, intercept = features.to_weights(solution)
    np.testing.assert_allclose(scaling.apply(X) @ coef.T + intercept, features.values @ solution.T, atol=1e-9)
    gram, expected = (f.values[:, :-1] @ f.values[:, :-1].T for f in (features, alone))
    np.testing.assert_allclose(gram[10:, 10:], expected, atol=1e-8)


def test_wide_features_are_never_copied_whole(monkeypatch):
    X = np.random.default_rng(0).normal(size=(20, 300)).astype(np.float32)
    whole = rotate(X)
    monkeypatch.setattr(rotation, "COLUMNS_AT_ONCE", 7)
    parts = rotate(X)
    assert all(part.stop - part.start == 7 for part in parts.rotation.rows._parts())
    coef, intercept = whole.to_weights(torch.ones(2, whole.values.shape[1]))
    np.testing.assert_allclose(X @ parts.to_weights(parts.from_weights(coef, intercept))[0].T, X @ coef.T, rtol=1e-3, atol=1e-3)
