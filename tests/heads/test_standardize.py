import numpy as np
from sklearn.preprocessing import StandardScaler

from heads.standardize import mean_and_deviation


def test_moments_are_scikit_learn_s_also_with_weights():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(3, 5, size=(50, 4)).astype(np.float32), rng.uniform(size=50)
    for weights in (None, weight):
        scaler = StandardScaler().fit(X.astype(np.float64), sample_weight=weights)
        mean, deviation = mean_and_deviation(X, weights)
        np.testing.assert_allclose(mean, scaler.mean_, rtol=1e-5)
        np.testing.assert_allclose(deviation, scaler.scale_, rtol=1e-5)
        assert mean.dtype == deviation.dtype == np.float32


def test_a_constant_feature_is_left_alone():
    X = np.full((1000, 1), 0.1, np.float32)
    mean, deviation = mean_and_deviation(X)
    assert deviation.tolist() == [1]
    assert abs((X - mean) / deviation).max() < 1e-6
