"""Parts of shards are read and checked where few rows are wanted, whole shards otherwise."""

import fsspec
import numpy as np
import pytest

from cache import FeatureStore, Ragged, StoreError
from cache.directory import BLOCK
from tests.cache.conftest import RECIPE, features_of, keys_of

ROWS, WIDTH = 4000, 1000  # 16 MB


@pytest.fixture
def large(memory_url):
    """A store with one shard that is worth reading in parts."""
    keys, features = keys_of(range(ROWS)), features_of(range(ROWS), WIDTH)
    FeatureStore(memory_url).commit(RECIPE, keys, {"wide": features})
    return memory_url, keys, features


def counted(store, monkeypatch):
    """Count the bytes that come from the bucket."""
    came = []
    read = store.place.remote.read

    def count(name, start, stop):
        came.append(stop - start)
        return read(name, start, stop)

    monkeypatch.setattr(store.place.remote, "read", count)
    return came


def test_few_rows_cost_few_bytes(large, elsewhere, monkeypatch):
    url, keys, features = large
    store = elsewhere(url)
    came = counted(store, monkeypatch)
    wanted = np.array([3, 3999, 7, 3, 2000])
    assert np.array_equal(store.read(RECIPE, keys[wanted], "wide"), features[wanted])
    assert sum(came) < 2**20
    assert not list(store.path.glob("recipes/*/shards/*"))
    assert np.array_equal(store.read(RECIPE, keys[10:20], "wide"), features[10:20])
    rows = store.rows(RECIPE, keys, "wide")
    assert np.array_equal(rows[100:110], features[100:110])
    assert np.array_equal(rows[-1], features[-1])
    assert sum(came) < 2**21


def test_many_rows_have_the_shard_fetched_once(large, elsewhere, monkeypatch):
    url, keys, features = large
    store = elsewhere(url)
    came = counted(store, monkeypatch)
    for start in range(0, ROWS, 200):
        assert np.array_equal(store.read(RECIPE, keys[start : start + 200], "wide"), features[start : start + 200])
    assert sum(came) < 1.5 * features.nbytes
    assert len(list(store.path.glob("recipes/*/shards/*.h5"))) == 1
    before = sum(came)
    assert np.array_equal(FeatureStore(url).read(RECIPE, keys, "wide"), features)
    assert sum(came) == before


def test_tokens_are_read_in_parts(memory_url, elsewhere, monkeypatch):
    lengths = np.random.default_rng(0).integers(1, 40, 2000)
    tokens = Ragged.of([np.full((length, 64), number, np.float32) for number, length in enumerate(lengths)])
    FeatureStore(memory_url).commit(RECIPE, keys_of(range(2000)), {"tokens": tokens})
    store = elsewhere(memory_url)
    came = counted(store, monkeypatch)
    found = store.read(RECIPE, keys_of([1999, 0, 77]), "tokens")
    assert [np.array_equal(part, tokens[row]) for part, row in zip(found, (1999, 0, 77), strict=True)] == [True] * 3
    assert sum(came) < tokens.values.nbytes / 4


def test_a_damaged_block_is_never_given_out(large, elsewhere):
    url, keys, features = large
    files = fsspec.filesystem("memory")
    (place,) = files.glob(f"{url}/recipes/*/shards/*.h5")
    content = bytearray(files.cat(place))
    at = 40 * BLOCK
    content[at] ^= 1
    files.pipe(place, bytes(content))
    store = elsewhere(url)
    assert np.array_equal(store.read(RECIPE, keys[:5], "wide"), features[:5]), "another block holds"
    row = at // (4 * WIDTH) - 1
    with pytest.warns(match="block 40"), pytest.raises(StoreError, match="have no wide"):
        store.read(RECIPE, keys[row : row + 3], "wide")
    assert store.missing(RECIPE, keys, ["wide"]).all()


def test_a_shard_that_was_replaced_by_an_equal_one_is_read_from_the_new_file(large, elsewhere):
    url, keys, features = large
    reader = elsewhere(url)
    assert np.array_equal(reader.read(RECIPE, keys[:3], "wide"), features[:3])
    writer = elsewhere(url)
    writer.commit(RECIPE, keys, {"wide": features}, {"device": "another " * 400})  # the same name, other bytes
    assert np.array_equal(reader.read(RECIPE, keys[3990:], "wide"), features[3990:])
    assert np.array_equal(reader.read(RECIPE, keys, "wide"), features)


@pytest.mark.parametrize("part", ["extents", "sums", "rows"])
def test_a_forged_directory_is_refused(large, elsewhere, part):
    import json
    import struct

    import xxhash

    url, keys, _ = large
    files = fsspec.filesystem("memory")
    (place,) = files.glob(f"{url}/recipes/*/shards/*.h5")
    content = files.cat(place)
    footer = content[-88:-32]
    length, blocks, image = struct.unpack("<QQQ", footer[:24])
    said = json.loads(content[image : image + length])
    if part == "extents":
        said["extents"]["outputs/wide"][0] = image
    elif part == "sums":
        said["sums"]["outputs/wide"] = "0" * 32
    else:
        said["rows"] = 10**12
    text = json.dumps(said).encode()
    lengths = struct.pack("<QQQ", len(text), blocks, image)
    body = text + content[image + length : -88]
    directory = body + lengths + xxhash.xxh3_128_digest(body + lengths) + footer[40:]
    whole = content[:image] + directory
    files.pipe(place, whole + content[-32:-16] + xxhash.xxh3_128_digest(whole))
    store = elsewhere(url)
    with pytest.warns(match="damaged shard"):
        assert store.missing(RECIPE, keys, ["wide"]).all()


def test_shards_without_a_directory_are_fetched_whole(memory_url, elsewhere):
    store = FeatureStore(memory_url)
    path = store.commit(RECIPE, keys_of(range(9)), {"pooled": features_of(range(9))})
    import xxhash

    files = fsspec.filesystem("memory")
    place = f"{memory_url}/recipes/{RECIPE.id}/shards/{path.name}"
    content = files.cat(place)
    image = content[: int.from_bytes(content[-72:-64], "little")]
    files.pipe(place, image + content[-32:-16] + xxhash.xxh3_128_digest(image))  # as headstart wrote them at first
    assert np.array_equal(elsewhere(memory_url).read(RECIPE, keys_of(range(9)), "pooled"), features_of(range(9)))
