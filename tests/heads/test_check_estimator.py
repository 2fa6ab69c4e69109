import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from heads import LinearHead, MLPHead, SweepCV

pytestmark = pytest.mark.slow


@parametrize_with_checks([LinearHead(), MLPHead(), SweepCV(LinearHead(), {"C": [0.1, 1.0]})])
def test_every_head_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)
