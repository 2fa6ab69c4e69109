import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from heads import (
    ABMILHead,
    ABMILRegressor,
    AttentionHead,
    AttentionPoolHead,
    AttentionPoolRegressor,
    AttentionRegressor,
    KNNHead,
    KNNRegressor,
    LDAHead,
    LinearHead,
    MLPHead,
    MLPRegressor,
    NearestMeanHead,
    RidgeHead,
    RidgeRegressor,
    SweepCV,
    TorchHead,
    TorchRegressor,
    ZeroShotHead,
)

pytestmark = pytest.mark.slow
FAST = {"lr": 0.03, "max_epochs": 20, "batch_size": 32}  # the checks' data have two columns and a few dozen rows

HEADS = [
    ABMILHead(**FAST),
    ABMILRegressor(**FAST),
    AttentionHead(**FAST),
    AttentionPoolHead(**FAST),
    AttentionPoolRegressor(**FAST),
    AttentionRegressor(**FAST),
    KNNHead(),
    KNNHead(metric="euclidean", weights="uniform"),
    KNNRegressor(),
    LDAHead(),
    LinearHead(),
    MLPHead(),
    MLPRegressor(),
    NearestMeanHead(),
    NearestMeanHead("cosine"),
    RidgeHead(),
    RidgeRegressor(),
    SweepCV(LinearHead(), {"C": [0.1, 1.0]}),
    TorchHead(lr=0.1, max_epochs=30, batch_size=32),
    TorchRegressor(**FAST),
    ZeroShotHead(),
]


@parametrize_with_checks(HEADS)
def test_every_head_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)
