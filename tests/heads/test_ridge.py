import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV

from heads import RidgeHead, RidgeRegressor

SHARES = [1e-3, 1e-2, 1e-1, 1.0]


def noisy(samples, width, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(samples, width)) + 2
    return X, X @ rng.normal(size=(width, 2)) + 3 * rng.normal(size=(samples, 2))


@pytest.mark.parametrize(("samples", "width"), [(200, 20), (30, 50), (5000, 10)])
def test_the_penalty_and_the_weights_are_scikit_learn_s_ridge_cv(samples, width):
    X, y = noisy(samples, width)
    power = ((X - X.mean(axis=0)) ** 2).sum() / width
    reference = RidgeCV(alphas=np.array(SHARES) * power).fit(X, y)
    found = RidgeRegressor(alphas=SHARES).fit(X, y)
    assert found.alpha_ == pytest.approx(reference.alpha_)
    np.testing.assert_allclose(found.coef_, reference.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.predict(X), reference.predict(X), rtol=1e-6)


def test_the_penalty_is_that_of_leaving_out_one_after_the_other():
    X, y = noisy(40, 15, seed=3)
    found = RidgeRegressor(alphas=SHARES).fit(X, y)
    power = ((X - X.mean(axis=0)) ** 2).sum() / X.shape[1]
    errors = []
    for share in SHARES:
        left_out = [
            Ridge(alpha=share * power).fit(np.delete(X, row, 0), np.delete(y, row, 0)).predict(X[row : row + 1])[0] - y[row]
            for row in range(len(X))
        ]
        errors.append(np.square(left_out).sum())
    assert found.alpha_ == pytest.approx(SHARES[int(np.argmin(errors))] * power)


def test_a_weight_of_two_is_the_sample_twice():
    X, y = noisy(60, 30)
    weight = np.random.default_rng(0).integers(0, 4, size=60)
    weighted = RidgeRegressor().fit(X, y, sample_weight=weight)
    repeated = RidgeRegressor().fit(np.repeat(X, weight, axis=0), np.repeat(y, weight, axis=0))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-6, atol=1e-9)


def test_classes_are_told_apart_at_any_scale_of_the_features(blobs):
    X, y = blobs
    head = RidgeHead().fit(X, y)
    assert head.score(X, y) > 0.75
    moved = RidgeHead().fit(X * 1000 + 5, y)
    np.testing.assert_allclose(moved.decision_function(X * 1000 + 5), head.decision_function(X), atol=1e-2)


@pytest.mark.parametrize("alphas", [0.0, [-1.0], []])
def test_a_penalty_that_is_none_is_refused(blobs, alphas):
    with pytest.raises(ValueError, match="must be (a float in the range|above 0)"):
        RidgeHead(alphas=alphas).fit(*blobs)
