"""The mirror holds as much as it may, whoever uses it, and nothing outside its folder."""

import multiprocessing
import os

import numpy as np
import pytest

from cache import FeatureStore, StoreError
from cache.bucket import Mirror
from tests.cache.conftest import RECIPE, features_of, fill, holds, keys_of

WIDTH = 2000


def wide(store, numbers):
    store.commit(RECIPE, keys_of(numbers), {"pooled": features_of(numbers, WIDTH)})


def held(store):
    return sum(path.stat().st_size for path in store.path.glob("recipes/*/shards/*"))


def test_what_was_not_used_for_longest_makes_room(memory_url, monkeypatch):
    monkeypatch.setenv("HEADSTART_MIRROR_SIZE", "3MB")
    store = FeatureStore(memory_url)
    for start in range(0, 1000, 100):  # 800 kB each
        wide(store, range(start, start + 100))
        assert held(store) <= 3_000_000
    for _ in range(2):
        assert np.array_equal(store.read(RECIPE, keys_of(range(1000)), "pooled"), features_of(range(1000), WIDTH))
        assert held(store) <= 3_000_000
    rows = store.rows(RECIPE, keys_of(range(1000)), "pooled")
    for start in np.random.default_rng(0).permutation(20) * 50:
        assert np.array_equal(rows[start : start + 50], features_of(range(start, start + 50), WIDTH))
    assert 2_000_000 < held(store) <= 3_000_000


def test_a_shard_too_large_for_the_mirror_is_read_in_parts(memory_url, monkeypatch, elsewhere):
    wide(FeatureStore(memory_url), range(400))
    monkeypatch.setenv("HEADSTART_MIRROR_SIZE", "1MB")
    store = elsewhere(memory_url)
    assert np.array_equal(store.read(RECIPE, keys_of(range(400)), "pooled"), features_of(range(400), WIDTH))
    assert held(store) == 0


def test_an_object_that_is_said_to_be_huge_is_not_fetched(memory_url, monkeypatch, elsewhere):
    from cache.bucket.remote import Found, Remote

    store = FeatureStore(memory_url)
    fill(store, range(50))
    listed = Remote.list
    monkeypatch.setattr(
        Remote, "list", lambda *a: {name: Found(10**15, found.stamp, None) for name, found in listed(*a).items()}
    )
    monkeypatch.setattr("cache.bucket.remote._FIRST_WAIT", 0.001)
    reader = elsewhere(memory_url)
    with pytest.raises(StoreError):
        reader.read(RECIPE, keys_of(range(50)), "pooled")
    assert held(reader) == 0


def test_a_size_that_is_none_is_told(memory_url, monkeypatch):
    monkeypatch.setenv("HEADSTART_MIRROR_SIZE", "much")
    with pytest.raises(StoreError, match="HEADSTART_MIRROR_SIZE: 'much' is not a size"):
        FeatureStore(memory_url)


def test_a_damaged_mirror_is_mended(memory_url):
    path = fill(FeatureStore(memory_url), range(50))
    path.write_bytes(path.read_bytes()[:-40] + bytes(40))
    for head in path.parents[1].glob("heads/*"):
        head.write_bytes(b"nothing")
    assert holds(FeatureStore(memory_url), range(50))


def read_all(url, answers):
    store = FeatureStore(url)
    answers.put(holds(store, np.random.default_rng(os.getpid()).permutation(200)))


@pytest.mark.slow
def test_processes_share_it(s3, s3_url, monkeypatch, elsewhere):
    for start in range(0, 200, 20):
        fill(FeatureStore(s3_url), range(start, start + 20))
    monkeypatch.setenv("HEADSTART_MIRROR_SIZE", "60kB")
    elsewhere(s3_url)
    s3.faults.requests.clear()
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    readers = [fork.Process(target=read_all, args=(s3_url, answers)) for _ in range(2)]
    for reader in readers:
        reader.start()
    assert [answers.get(timeout=60) for _ in readers] == [True] * 2
    for reader in readers:
        reader.join()


def test_names_in_a_listing_do_not_lead_out_of_the_mirror(memory_url, tmp_path):
    from cache.bucket.remote import Found

    store = FeatureStore(memory_url)
    fill(store, range(5))
    listings = store.place._listings
    shards = f"recipes/{RECIPE.id}/shards"
    for name in ("../../../../evil.h5", "x.h5", "..", "/etc/passwd"):
        listings._put[f"{shards}/{name}"] = (listings._clock(), Found(10, "s", None))
    for name in ("../evil-0123456789abcdef.parquet", "..-0123456789abcdef.parquet/x"):
        listings._put[f"tables/{name}"] = (listings._clock(), Found(10, "s", None))
    assert len(FeatureStore.shards(store, RECIPE)) == 1
    assert store.tables() == []


def test_a_dead_reader_leaves_no_room_taken(tmp_path, monkeypatch):
    mirror = Mirror(tmp_path, 1000)
    shards = tmp_path / "store" / "recipes" / "r" / "shards"
    shards.mkdir(parents=True)
    from cache.process import this_process

    machine = this_process().rpartition("-")[0]
    (shards / f".writing-{machine}-999999999-abcd").write_bytes(bytes(900))
    mirror.hold(shards / "a.h5", 800, lambda descriptor: os.pwrite(descriptor, bytes(800), 0))
    assert [path.name for path in shards.iterdir()] == ["a.h5"]
