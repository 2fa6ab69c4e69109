"""Many processes on one store at once."""

import multiprocessing
import time
import warnings

import numpy as np
import pytest

from cache import FeatureStore, StoreWarning
from cache.maintenance import compact, verify
from tests.cache.conftest import RECIPE, features_of, fill, holds, keys_of

FORK = multiprocessing.get_context("fork")
SAMPLES = 1200


def extract_all(place, computed):
    """Compute what is missing, a slice at a time, as extraction does; count what was computed."""
    store = FeatureStore(place)
    with store.lease(RECIPE) as lease:
        while (todo := np.flatnonzero(store.missing(RECIPE, keys_of(range(SAMPLES)), ["pooled"]))).size:
            mine = todo[lease.claim(keys_of(todo))][:40]
            lease.claim(keys_of(mine))
            mine = mine[store.missing(RECIPE, keys_of(mine), ["pooled"])] if len(mine) else mine
            if not len(mine):
                time.sleep(0.01)
                continue
            time.sleep(0.005)
            fill(store, mine.tolist())
            with computed.get_lock():
                computed.value += len(mine)


def read_all(place, failed, done):
    rng = np.random.default_rng()
    while not done.is_set():
        with warnings.catch_warnings():
            warnings.simplefilter("error", StoreWarning)
            numbers = rng.permutation(SAMPLES)
            store = FeatureStore(place)
            there = numbers[~store.missing(RECIPE, keys_of(numbers), ["pooled"])]
            if len(there) and not np.array_equal(store.read(RECIPE, keys_of(there), "pooled"), features_of(there)):
                failed.set()


@pytest.mark.slow
def test_eight_writers_and_eight_readers_compute_each_sample_about_once_and_see_right_rows(tmp_path):
    place = tmp_path / "store"
    computed, failed, done = FORK.Value("i", 0), FORK.Event(), FORK.Event()
    writers = [FORK.Process(target=extract_all, args=(place, computed)) for _ in range(8)]
    readers = [FORK.Process(target=read_all, args=(place, failed, done)) for _ in range(8)]
    for process in writers + readers:
        process.start()
    for process in writers:
        process.join(120)
        assert process.exitcode == 0
    done.set()
    for process in readers:
        process.join(60)
        assert process.exitcode == 0
    assert not failed.is_set()
    assert SAMPLES <= computed.value <= 1.1 * SAMPLES
    assert holds(FeatureStore(place), range(SAMPLES))
    assert verify(FeatureStore(place)).damaged == {}


def hold_and_wait(place, ready):
    with FeatureStore(place).lease(RECIPE) as lease:
        lease.claim(keys_of(range(10)))
        ready.set()
        time.sleep(60)


def test_what_a_living_job_has_claimed_is_not_granted_and_a_dead_one_s_is(store):
    fill(store, [99])
    ready = FORK.Event()
    holder = FORK.Process(target=hold_and_wait, args=(store.path, ready))
    holder.start()
    assert ready.wait(10)
    with store.lease(RECIPE) as lease:
        assert lease.claim(keys_of(range(5, 15))).tolist() == [False] * 5 + [True] * 5
        holder.kill()
        holder.join()
        assert lease.claim(keys_of(range(5, 15))).all()
    assert not list((store.folder(RECIPE) / "leases").glob("*.lease"))


def test_readers_go_on_while_shards_are_joined(store):
    for start in range(0, 100, 10):
        fill(store, range(start, start + 10))
    reader = FeatureStore(store.path)
    assert holds(reader, range(100))
    rows = reader.rows(RECIPE, keys_of(range(100)), "pooled")
    compact(store, RECIPE, dry_run=False)
    assert len(list(store.shard_folder(RECIPE).glob("*.h5"))) == 1
    assert holds(reader, range(99, -1, -1))
    assert np.array_equal(rows[[3, 77]], features_of([3, 77]))  # mapped before, so still there


def test_two_stores_merge_by_copying_shard_files(store, tmp_path):
    fill(store, range(10))
    other = FeatureStore(tmp_path / "other")
    path = fill(other, range(5, 20))
    (store.shard_folder(RECIPE) / path.name).write_bytes(path.read_bytes())
    assert holds(FeatureStore(store.path), range(20))
    assert verify(store).damaged == {}
