import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import (
    explained_variance_score,
    mean_absolute_error,
    median_absolute_error,
    r2_score,
    root_mean_squared_error,
)

from heads.regression_metrics import regression_metrics


def test_values_are_those_of_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    true = rng.normal(size=300)
    predicted = np.round(true + rng.normal(size=300), 1)
    found = regression_metrics(true, predicted)
    expected = {
        "r2": r2_score(true, predicted),
        "mean_absolute_error": mean_absolute_error(true, predicted),
        "root_mean_squared_error": root_mean_squared_error(true, predicted),
        "pearson": pearsonr(true, predicted).statistic,
        "spearman": spearmanr(true, predicted).statistic,
        "explained_variance": explained_variance_score(true, predicted),
        "median_absolute_error": median_absolute_error(true, predicted),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value)
        assert found[name].low < value < found[name].high


def test_numbers_that_are_all_the_same_do_no_harm():
    found = regression_metrics(np.ones(10), np.linspace(0, 1, 10))
    assert found["r2"].value == found["spearman"].value == 0


def test_metrics_of_several_numbers_are_the_means_of_each_one_s():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(60, 2))
    predicted = true + rng.normal(size=(60, 2)) * [0.1, 2]
    both = regression_metrics(true, predicted, resamples=10)
    each = [regression_metrics(true[:, column], predicted[:, column], resamples=10) for column in range(2)]
    for name, found in both.items():
        assert found.value == pytest.approx(np.mean([one[name].value for one in each]))
        assert found.low <= found.value <= found.high
