import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureStore
from cache import index as index_module
from cache.index import read_segment
from tests.cache.conftest import RECIPE, features_of, fill, holds, keys_of


@pytest.fixture(autouse=True)
def small_indexes_are_kept(monkeypatch):
    monkeypatch.setattr(index_module, "WORTH_KEEPING", 10)


def kept(store):
    return sorted((store.folder(RECIPE) / "index").glob("*.idx"))


def test_a_large_index_is_kept_and_used_again_without_looking_at_the_keys(store, monkeypatch):
    for start in range(0, 60, 20):
        fill(store, range(start, start + 20))
    assert holds(store, range(60))
    (path,) = kept(store)
    assert len(read_segment(path.parent)) == 60
    monkeypatch.setattr(index_module, "build_segment", pytest.fail)
    assert holds(FeatureStore(store.path), np.random.default_rng(0).permutation(60))


def test_new_shards_are_found_beside_a_kept_index_and_the_index_grows_with_them(store):
    fill(store, range(100))
    assert holds(store, range(100))
    first = kept(store)
    fill(store, range(100, 110))
    assert holds(FeatureStore(store.path), range(110))
    assert kept(store) == first  # a tenth more is not worth writing it anew
    fill(store, range(110, 160))
    assert holds(FeatureStore(store.path), range(160))
    assert kept(store) != first
    assert len(kept(store)) == 1


def test_an_index_of_shards_that_are_gone_gives_nothing_that_is_not_there(store):
    paths = [fill(store, range(start, start + 20)) for start in range(0, 100, 20)]
    assert holds(store, range(100))
    for path in paths[:2]:
        path.unlink()
    reader = FeatureStore(store.path)
    assert np.flatnonzero(reader.missing(RECIPE, keys_of(range(100)), ["pooled"])).tolist() == list(range(40))
    assert holds(reader, range(40, 100))
    for path in paths[2:4]:
        path.unlink()
    assert FeatureStore(store.path).missing(RECIPE, keys_of(range(100)), ["pooled"]).sum() == 80


def test_a_damaged_or_unwritable_index_costs_time_and_nothing_else(store):
    fill(store, range(50))
    assert holds(store, range(50))
    (path,) = kept(store)
    for content in (b"", path.read_bytes()[:-1], path.read_bytes()[:-9] + bytes(9)):
        path.write_bytes(content)
        assert holds(FeatureStore(store.path), range(50))
    path.unlink(missing_ok=True)
    path.parent.rmdir()
    path.parent.touch()  # no folder can be made here
    assert holds(FeatureStore(store.path), range(50))


def test_keys_that_share_their_first_half_are_told_apart(store):
    keys = np.zeros((30, 16), np.uint8)
    keys[:, 15] = np.arange(30)
    store.commit(RECIPE, keys, {"pooled": features_of(range(30))})
    shuffled = np.random.default_rng(0).permutation(30)
    assert np.array_equal(store.read(RECIPE, keys[shuffled], "pooled"), features_of(shuffled))
    other = keys.copy()
    other[:, 14] = 1
    assert store.missing(RECIPE, other, ["pooled"]).all()


SCALE = """
import os, resource, sys
import numpy as np
from cache import FeatureStore, Recipe
recipe = Recipe("x", None, "w", {}, dtype="float16")
rows, part = 10_000_000, 1_000_000
keys = lambda start, stop: np.random.default_rng(start).integers(0, 256, (stop - start, 16), dtype=np.uint8)
features = lambda start, stop: np.repeat((np.arange(start, stop) % 2000).astype(np.float16)[:, None], 64, axis=1)
store = FeatureStore(sys.argv[1])
if sys.argv[2] == "write":
    for start in range(0, rows, part):
        store.commit(recipe, keys(start, start + part), {"pooled": features(start, start + part)})
    raise SystemExit
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
some = np.concatenate([keys(start, start + part)[::97] for start in range(0, rows, part)])[:100_000]
numbers = np.concatenate([np.arange(start, start + part)[::97] for start in range(0, rows, part)])[:100_000]
assert not store.missing(recipe, some, ["pooled"]).any()
assert store.missing(recipe, some ^ 1, ["pooled"]).all()
order = np.random.default_rng(0).permutation(len(some))
found = store.read(recipe, some[order], "pooled")
assert np.array_equal(found[:, 0], (numbers[order] % 2000).astype(np.float16))
ordered = store.read(recipe, keys(3 * part, 4 * part)[:200_000], "pooled")
assert np.array_equal(ordered[:, 63], features(3 * part, 3 * part + 200_000)[:, 63])
anonymous = sum(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))
print(anonymous // 1024)
"""


@pytest.mark.slow
def test_ten_million_rows_are_found_and_read_within_the_memory_that_is_asked_for(tmp_path):
    place = tmp_path / "store"
    root = Path(__file__).parents[2]
    for step in ("write", "index"):
        subprocess.run([sys.executable, "-c", SCALE, place, step], check=True, cwd=root, capture_output=True)
    done = subprocess.run([sys.executable, "-c", SCALE, place, "read"], check=True, cwd=root, capture_output=True, text=True)
    assert int(done.stdout) < 300, "megabytes beyond what is mapped from files"


def test_many_small_commits_make_few_segments_and_a_kept_one_is_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr("cache.index.WORTH_KEEPING", 100)
    store = FeatureStore(tmp_path / "store")
    for number in range(40):
        fill(store, range(10 * number, 10 * number + 10))
        assert not store.missing(RECIPE, keys_of(range(10 * number + 10)), ["pooled"]).any()
    segments = store._index(RECIPE).segments
    assert len(segments) <= 6
    largest = max(segments, key=len)
    assert not largest.high.flags.owndata
    assert not largest.high.flags.writeable
    assert holds(store, range(400))
