import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from heads.preparation import prepare, whitened
from heads.solvers.rotation import rotate


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 4)) @ rng.normal(size=(4, 12)) * 3 + rng.normal(size=(60, 12)) + 5


@pytest.mark.parametrize("samples", [60, 5])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("whiten", [None, 2.0])
def test_weights_on_prepared_features_score_as_the_restored_ones_on_the_features_as_they_came(
    features, samples, standardize, whiten
):
    X = features[:samples]
    prepared = prepare(X, np.ones(len(X)), standardize, whiten)
    rng = np.random.default_rng(1)
    coef, intercept = rng.normal(size=(3, prepared.values.shape[1])), rng.normal(size=3)
    raw_coef, raw_intercept = prepared.restore(coef, intercept)
    assert raw_coef.shape == (3, 12)
    np.testing.assert_allclose(X @ raw_coef.T + raw_intercept, prepared.values @ coef.T + intercept, atol=1e-8)


def test_whitening_is_a_penalty_by_the_features_covariance(features):
    y = features[:, 0] - features[:, 1] > np.median(features[:, 0] - features[:, 1])
    prepared = prepare(features, np.ones(60), False, 3.0)
    head = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000).fit(prepared.values, y)
    found, _ = prepared.restore(head.coef_, head.intercept_)

    S = np.cov(features.T, bias=True)
    share = 3.0 * np.trace(S) / 12
    root = np.linalg.cholesky((S + share * np.eye(12)) / share)
    reference = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000).fit(
        (features - features.mean(axis=0)) @ np.linalg.inv(root).T, y
    )
    np.testing.assert_allclose(found, reference.coef_ @ np.linalg.inv(root), rtol=1e-3, atol=1e-5)


def test_a_large_share_is_no_whitening_and_a_small_one_makes_directions_alike(features):
    rotated = rotate(features, torch.float64)
    np.testing.assert_allclose(whitened(rotated, 1e9).values, rotated.values, rtol=1e-6)
    deviations = whitened(rotated, 1e-6).values[:, :-1].std(dim=0)
    assert deviations.max() / deviations.min() < 1.1


@pytest.mark.parametrize("share", [0, -1.0])
def test_a_share_that_is_not_above_zero_is_refused(features, share):
    with pytest.raises(ValueError, match="`whiten` is"):
        prepare(features, np.ones(60), True, share)
