import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heads import choose_splitter, hold_out


@settings(max_examples=30, deadline=None)
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
