import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heads import choose_splitter, hold_out, one_standard_error


@settings(max_examples=30)
@given(st.integers(20, 80), st.integers(5, 15), st.integers(0, 3))
def test_a_group_is_never_on_both_sides(samples, groups, seed):
    rng = np.random.default_rng(seed)
    y, group = rng.integers(2, size=samples), rng.permutation(np.arange(samples) % groups)
    tested = []
    for train, test in choose_splitter(y, group, folds=5, seed=seed).split(y, y, group):
        assert not set(group[train]) & set(group[test])
        tested += test.tolist()
    assert sorted(tested) == list(range(samples))
    mask = hold_out(y, group, 0.3, seed)
    assert not set(group[mask]) & set(group[~mask])
    assert 0 < mask.sum() < samples


def test_folds_keep_the_classes_shares():
    y = np.array(["a"] * 80 + ["b"] * 20)
    for _, test in choose_splitter(y).split(y, y):
        assert (y[test] == "b").sum() == 4
    assert (y[hold_out(y, None, 0.2)] == "b").sum() == 4


def test_a_validation_split_is_the_only_fold():
    mask = np.array([False, True, False, True])
    ((train, test),) = choose_splitter(np.array(list("abab")), validation=mask).split()
    assert (train.tolist(), test.tolist()) == ([0, 2], [1, 3])


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_a_class_with_one_sample_does_not_stop_anything():
    y = np.array(["a"] * 10 + ["b"] * 10 + ["c"])
    assert len(list(choose_splitter(y).split(y, y))) == 5
    assert hold_out(y, None, 0.2).sum() == 5


def test_too_few_samples_or_groups_say_so():
    with pytest.raises(ValueError, match="3 samples cannot be split into 5 folds"):
        choose_splitter(np.array(list("aba")))
    with pytest.raises(ValueError, match="2 groups cannot be split"):
        choose_splitter(np.array(list("ababab")), np.array([0, 1] * 3))


def test_numbers_and_several_labels_are_split_without_strata():
    for y in (np.linspace(0, 1, 20), np.eye(4, dtype=int)[np.arange(20) % 4]):
        assert len(list(choose_splitter(y).split(y))) == 5
        assert hold_out(y, None, 0.25).sum() == 5


def test_the_simplest_trial_within_one_standard_error_is_taken():
    means, deviations = np.array([0.90, 0.91, 0.87, np.nan, 0.90]), np.full(5, 0.04)
    assert one_standard_error(means, deviations, 5, [2, 3, 1, 0, 2]) == 0
    assert one_standard_error(means, np.full(5, 0.001), 5, [2, 3, 1, 0, 2]) == 1
    assert one_standard_error(means, np.full(5, 0.1), 5, [2, 3, 1, 0, 2]) == 2


def test_the_rule_needs_folds_and_a_trial_that_succeeded():
    with pytest.raises(ValueError, match="at least 2 folds"):
        one_standard_error(np.ones(2), np.zeros(2), 1, [0, 1])
    with pytest.raises(ValueError, match="no trial"):
        one_standard_error(np.full(2, np.nan), np.zeros(2), 5, [0, 1])


@pytest.mark.parametrize("seed", range(20))
def test_groups_of_very_different_sizes_hold_out_about_the_share_and_are_whole(seed):
    groups = np.repeat(np.arange(9), [600, 50, 50, 50, 50, 50, 50, 50, 50])
    mask = hold_out(np.tile(["a", "b"], 500), groups, 0.2, seed)
    assert not set(groups[mask]) & set(groups[~mask])
    assert 0.15 <= mask.mean() <= 0.25


def test_two_groups_are_on_either_side():
    mask = hold_out(np.tile(["a", "b"], 50), np.repeat([0, 1], [95, 5]), 0.2)
    assert 0 < mask.sum() < 100
