import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import Ragged
from tests.cache.conftest import RECIPE, features_of, keys_of

LENGTHS = st.lists(st.integers(0, 5), min_size=1, max_size=30)


def make(lengths):
    return [features_of(range(length), 3) + number for number, length in enumerate(lengths)]


@given(LENGTHS, st.randoms())
def test_samples_come_out_as_they_went_in_by_number_slice_mask_and_numbers(lengths, rng):
    arrays = make(lengths)
    ragged = Ragged.of(arrays)
    assert ragged.shape == (len(arrays), None, 3)
    assert all(map(np.array_equal, ragged, arrays))
    number = rng.randrange(-len(arrays), len(arrays))
    assert np.array_equal(ragged[number], arrays[number])
    rows = [rng.randrange(len(arrays)) for _ in range(rng.randrange(10))]
    picked = ragged[np.array(rows, np.int64)]
    assert len(picked) == len(rows)
    assert all(map(np.array_equal, picked, [arrays[row] for row in rows]))
    assert all(map(np.array_equal, ragged[2:5], arrays[2:5]))
    mask = np.arange(len(arrays)) % 2 == 0
    assert all(map(np.array_equal, ragged[mask], arrays[::2]))


@pytest.mark.parametrize("offsets", [[0, 2], [1, 4], [0, 3, 1, 4], [], [0.0, 4.0]])
def test_offsets_that_do_not_fit_are_refused(offsets):
    with pytest.raises(ValueError, match="offsets"):
        Ragged(
            np.zeros((4, 2), np.float32),
            np.array(offsets) if offsets and isinstance(offsets[0], float) else np.array(offsets, np.int64),
        )


@settings(max_examples=25)
@given(st.lists(LENGTHS, min_size=1, max_size=4), st.randoms())
def test_the_store_gives_back_ragged_rows_in_any_order(tmp_path_factory, shards, rng):
    from cache import FeatureStore

    store = FeatureStore(tmp_path_factory.mktemp("store") / "s")
    arrays, start = [], 0
    for lengths in shards:
        part = make(lengths)
        store.commit(RECIPE, keys_of(range(start, start + len(part))), {"layer1.tokens": Ragged.of(part)})
        arrays, start = arrays + part, start + len(part)
    wanted = [rng.randrange(start) for _ in range(rng.randrange(1, 40))]
    found = store.read(RECIPE, keys_of(wanted), "layer1.tokens")
    assert all(map(np.array_equal, found, [arrays[number] for number in wanted]))
    rows = store.rows(RECIPE, keys_of(wanted), "layer1.tokens")
    assert all(map(np.array_equal, rows[1:], [arrays[number] for number in wanted][1:]))
    assert np.array_equal(rows[0], arrays[wanted[0]])
