import re
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureStore, StoreError
from cache.maintenance import compact
from tests.cache.conftest import OTHER, RECIPE, features_of, fill, keys_of


def test_stored_rows_are_an_array_that_reads_what_is_asked_for(store):
    for start in range(0, 90, 30):
        fill(store, range(start, start + 30))
    order = np.random.default_rng(0).permutation(90)
    rows = store.rows(RECIPE, keys_of(order), "pooled")
    assert (len(rows), rows.shape, rows.ndim, rows.dtype) == (90, (90, 6), 2, np.float32)
    assert np.array_equal(rows[:], features_of(order))
    assert np.array_equal(rows[10:50:3], features_of(order[10:50:3]))
    assert np.array_equal(rows[np.array([5, 5, 80])], features_of(order[[5, 5, 80]]))
    assert np.array_equal(rows[order % 2 == 0], features_of(order[order % 2 == 0]))
    assert np.array_equal(rows[-1], features_of(order[-1:])[0])
    assert rows[5:5].shape == (0, 6)


@pytest.mark.parametrize("width", [1, 3, 700, 5000])
def test_runs_dense_and_scattered_rows_of_any_width_are_read_right(store, width):
    numbers = np.arange(400)
    for part in np.array_split(numbers, 3):
        store.commit(RECIPE, keys_of(part), {"pooled": features_of(part, width)})
    rng = np.random.default_rng(width)
    for wanted in (numbers, numbers[::-1], numbers[::2], rng.permutation(numbers), rng.integers(0, 400, 7), numbers[100:110]):
        assert np.array_equal(store.read(RECIPE, keys_of(wanted), "pooled"), features_of(wanted, width))


def test_no_samples_are_no_error_where_the_output_is_known(store):
    fill(store, range(3), OTHER)
    assert store.read(OTHER, keys_of([]), "pooled").shape == (0, 6)
    assert store.read(OTHER, keys_of([]), "pooled").dtype == np.float16
    with pytest.raises(StoreError, match="0 of 0 samples have no layer1.mean"):
        store.read(OTHER, keys_of([]), "layer1.mean")


def test_an_output_of_two_widths_is_told(store):
    fill(store, range(3))
    store.commit(RECIPE, keys_of(range(3, 6)), {"pooled": features_of(range(3, 6), 9)})
    with pytest.raises(StoreError, match="pooled differs from shard to shard: 6 float32, 9 float32"):
        FeatureStore(store.path).read(RECIPE, keys_of(range(6)), "pooled")


def test_some_of_the_rows_stay_on_disk_too(store):
    for start in range(0, 90, 30):
        fill(store, range(start, start + 30))
    order = np.random.default_rng(0).permutation(90)
    rows = store.rows(RECIPE, keys_of(order), "pooled")
    some = rows.select(np.arange(10, 70, 2))
    assert np.array_equal(some[:], features_of(order[10:70:2]))
    fewer = some.select(np.arange(30) % 3 == 0)
    assert np.array_equal(fewer[:], features_of(order[10:70:6]))
    compact(store, RECIPE, dry_run=False, shard_bytes=2**20)  # the shards are others now, and the rows are found again
    assert np.array_equal(fewer[np.array([9, 0])], features_of(order[[64, 10]]))
    assert np.array_equal(some[:], features_of(order[10:70:2]))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the pages that count as this process's")
def test_scattered_rows_leave_few_pages_of_a_large_shard_in_the_process(store):
    def mapped():
        return int(re.search(r"RssFile:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

    rng = np.random.default_rng(0)
    features = rng.normal(size=(60_000, 256)).astype(np.float32)  # 61 MB
    keys = keys_of(range(60_000))
    store.commit(RECIPE, keys, {"pooled": features})
    reader = FeatureStore(store.path)
    wanted = rng.permutation(60_000)[:6000]
    reader.read(RECIPE, keys[:1], "pooled")
    before = mapped()
    for part in np.split(wanted, 20):
        np.testing.assert_array_equal(reader.read(RECIPE, keys[part], "pooled"), features[part])
    assert mapped() - before < features.nbytes / 3
