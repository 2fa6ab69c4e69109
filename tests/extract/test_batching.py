import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from extract.batching import budget_batches


@given(st.lists(st.integers(1, 600), max_size=200), st.integers(1, 4096))
def test_batches_hold_every_sample_once_within_the_budget_longest_first(lengths, budget):
    batches = budget_batches(lengths, budget)
    together = np.concatenate(batches) if batches else np.empty(0, int)
    assert sorted(together.tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[row] for row in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget
    in_order = [lengths[row] for row in together]
    assert in_order == sorted(in_order, reverse=True)
