import numpy as np
import pytest

from extract.clusters.blocks import LEAST_SAMPLES, MOST_SAMPLES, cut_blocks


@pytest.mark.parametrize(("actors", "count"), [(1, 100), (4, 30_000), (2, 200_000), (3, 0)])
def test_blocks_hold_every_sample_once_in_order_and_cost_alike(actors, count):
    costs = np.random.default_rng(0).integers(1, 2000, count)
    blocks = cut_blocks(costs, actors)
    assert np.concatenate([np.arange(0), *blocks]).tolist() == list(range(count))
    assert all(len(block) <= MOST_SAMPLES for block in blocks)
    spent = [int(costs[block].sum()) for block in blocks[:-1]]
    if spent:
        assert max(spent) < 1.1 * min(spent)
    if count > 8 * actors * LEAST_SAMPLES:
        assert len(blocks) >= 8 * actors


def test_a_sample_that_costs_more_than_a_block_is_one_of_its_own():
    blocks = cut_blocks(np.array([1, 1, 10**9, 1, 1]), 2)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(5))
    assert all(len(block) <= 3 for block in blocks)
