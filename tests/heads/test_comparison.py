import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from heads.comparison import adjust_p_values, bootstrap_difference, corrected_resampled_t, difference_of_shares, mcnemar


def test_mcnemar_is_the_binomial_test_of_the_samples_that_differ():
    first, second = (
        np.array([1] * 30 + [1] * 9 + [0] * 3 + [0] * 8, bool),
        np.array([1] * 30 + [0] * 9 + [1] * 3 + [0] * 8, bool),
    )
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (9, 3)
    assert found.p_exact == pytest.approx(binomtest(3, 12).pvalue)
    assert found.p_mid == pytest.approx(binomtest(3, 12).pvalue - 220 / 4096)  # less the chance of just this table
    assert mcnemar(second, first).p_exact == found.p_exact


def test_heads_that_agree_everywhere_are_no_different():
    same = np.array([True, False, True])
    assert (mcnemar(same, same).p_exact, mcnemar(same, same).p_mid) == (1, 1)
    assert corrected_resampled_t([0, 0, 0], 80, 20).p == 1
    difference = difference_of_shares(same, same)
    assert (difference.mean, difference.p) == (0, 1)
    assert -1 <= difference.low < -0.2 < 0.2 < difference.high <= 1  # of three samples nobody knows more


def test_the_corrected_t_test_is_the_plain_one_with_a_larger_variance():
    differences = [0.02, 0.01, 0.03, -0.01, 0.02]
    uncorrected = corrected_resampled_t(differences, 1, 0)
    assert uncorrected.p == pytest.approx(ttest_1samp(differences, 0).pvalue)
    corrected = corrected_resampled_t(differences, 80, 20)
    reach, plain = corrected.high - corrected.mean, uncorrected.high - uncorrected.mean
    assert reach / plain == pytest.approx(np.sqrt(5 * (1 / 5 + 20 / 80)))
    assert corrected.p > uncorrected.p
    with pytest.raises(ValueError, match="two folds"):
        corrected_resampled_t([0.1], 80, 20)


def test_under_no_difference_tests_reject_as_often_as_they_say():
    rng, exact, mid, missed = np.random.default_rng(0), [], [], []
    for _ in range(400):
        first, second = rng.random((2, 300)) < 0.8
        found = mcnemar(first, second)
        exact.append(found.p_exact < 0.05)
        mid.append(found.p_mid < 0.05)
        difference = difference_of_shares(first, second)
        assert difference.mean == pytest.approx(first.mean() - second.mean())
        missed.append(not difference.low <= 0 <= difference.high)
    assert np.mean(exact) <= np.mean(mid) < 0.08
    assert 0.02 < np.mean(missed) < 0.08


@pytest.mark.parametrize(("samples", "better"), [(12, 0.15), (40, 0.1), (1000, 0.03)])
def test_the_interval_of_a_difference_of_shares_holds_it_as_often_as_it_says(samples, better):
    rng, held = np.random.default_rng(0), []
    for _ in range(600):
        hard = rng.random(samples)
        first, second = hard + 0.1 * rng.normal(size=samples) < 0.8 + better, hard + 0.1 * rng.normal(size=samples) < 0.8
        found = difference_of_shares(first, second)
        held.append((found.low, found.high))
    hard, noise = rng.random(200_000), 0.1 * rng.normal(size=(2, 200_000))
    truth = (hard + noise[0] < 0.8 + better).mean() - (hard + noise[1] < 0.8).mean()
    assert 0.93 <= np.mean([low <= truth <= high for low, high in held]) <= 1


def test_a_bootstrap_interval_covers_a_difference_of_losses():
    rng = np.random.default_rng(0)
    first = rng.exponential(1.0, 400)
    difference = bootstrap_difference(first + 0.5 + 0.1 * rng.normal(size=400), first)
    assert difference.low < 0.5 < difference.high
    assert difference.high - difference.low < 0.05
    assert difference.p < 0.01


def test_p_values_of_comparisons_made_at_once_are_those_of_holm():
    assert adjust_p_values([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust_p_values([0.9, 0.8]).tolist() == [1.0, 1.0]


def test_heads_are_compared_on_the_same_samples():
    for compare in (mcnemar, difference_of_shares):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            compare(np.ones(5, bool), np.ones(4, bool))
