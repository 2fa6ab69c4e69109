import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from heads import (
    ABMILHead,
    ABMILRegressor,
    AttentionHead,
    AttentionPoolHead,
    AttentionPoolRegressor,
    AttentionRegressor,
    GreedyHead,
    GreedyRegressor,
    GroupLassoHead,
    GroupLassoRegressor,
    HalvingRandomSweepCV,
    HalvingSweepCV,
    KNNHead,
    KNNRegressor,
    LayerMixHead,
    LayerMixRegressor,
    LDAHead,
    LinearHead,
    MLPHead,
    MLPRegressor,
    NearestMeanHead,
    OptunaSweepCV,
    RandomSweepCV,
    RidgeHead,
    RidgeRegressor,
    SweepCV,
    TorchHead,
    TorchRegressor,
    ZeroShotHead,
)

pytestmark = pytest.mark.slow
FAST = {"lr": 0.1, "max_epochs": 12, "batch_size": 32}  # the checks' data have two columns and a few dozen rows

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
    GreedyHead(),
    GreedyRegressor(),
    GroupLassoHead(keep=0.8),
    GroupLassoRegressor(keep=0.8),
    LayerMixHead(lr=0.03, max_epochs=60, batch_size=32),
    LayerMixRegressor(**FAST),
    LDAHead(),
    LinearHead(),
    MLPHead(),
    MLPRegressor(),
    NearestMeanHead(),
    NearestMeanHead("cosine"),
    RidgeHead(),
    RidgeRegressor(),
    HalvingRandomSweepCV(RidgeHead(), {"alphas": [0.1, 1.0]}, n_candidates=2, min_resources=8, cv=2, random_state=0),
    HalvingSweepCV(RidgeHead(), {"alphas": [0.1, 1.0]}, min_resources=8, cv=2, random_state=0),
    OptunaSweepCV(RidgeHead(), {"alphas": [0.1, 1.0]}, n_trials=4, cv=2, random_state=0),
    RandomSweepCV(RidgeHead(), {"alphas": [0.1, 1.0]}, n_iter=2, cv=2, random_state=0),
    SweepCV(LinearHead(), {"C": [0.1, 1.0]}),
    TorchHead(lr=0.1, max_epochs=20, batch_size=32),
    TorchRegressor(**FAST),
    ZeroShotHead(),
]


def expected_failures(estimator):
    """Successive halving draws rows whatever they weigh: a row of weight 2 is not two rows to it."""
    if not isinstance(estimator, HalvingSweepCV | HalvingRandomSweepCV):
        return {}
    reason = "rows are drawn whatever they weigh"
    return {f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in ("dense", "sparse")}


@parametrize_with_checks(HEADS, expected_failed_checks=expected_failures)
def test_every_head_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)
