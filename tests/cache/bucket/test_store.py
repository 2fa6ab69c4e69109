"""A store in a bucket behaves as one in a folder."""

import numpy as np
import pytest

from cache import FeatureStore, Ragged, StoreError, Table
from cache.budget import Budget
from cache.maintenance import collect, compact, verify
from cache.table import read_table
from cache.transfer import export_store, import_store
from tests.cache.conftest import OTHER, RECIPE, features_of, fill, holds, keys_of


def test_what_one_machine_commits_another_reads(url, elsewhere):
    store = FeatureStore(url)
    assert not store.exists()
    for start in range(0, 300, 100):
        fill(store, range(start, start + 100))
    assert holds(store, range(300))
    other = elsewhere(url)
    assert other.exists()
    assert other.recipes() == [RECIPE]
    assert not other.missing(RECIPE, keys_of(range(300)), ["pooled"]).any()
    assert other.missing(RECIPE, keys_of(range(299, 302)), ["pooled"]).tolist() == [False, True, True]
    assert holds(other, np.random.default_rng(0).permutation(300))
    assert np.array_equal(other.rows(RECIPE, keys_of(range(300)), "pooled")[50:250:3], features_of(range(50, 250, 3)))
    assert other.holding(RECIPE).rows == 300
    assert other.holding(RECIPE).bytes == store.holding(RECIPE).bytes


def test_tokens_come_back(url, elsewhere):
    tokens = Ragged.of([np.full((length, 5), length, np.float32) for length in range(1, 30)])
    FeatureStore(url).commit(RECIPE, keys_of(range(29)), {"tokens": tokens})
    found = elsewhere(url).read(RECIPE, keys_of([4, 28, 0]), "tokens")
    assert [len(part) for part in found] == [5, 29, 1]
    assert np.array_equal(found[1], tokens[28])


def test_tables_are_kept_and_found(url, elsewhere):
    table = Table("reviews", keys_of(range(3)), ["a", "b", "c"], labels=["x", None, "y"])
    FeatureStore(url).write_table(table)
    (path,) = elsewhere(url).tables()
    assert read_table(path).labels == table.labels


def test_small_shards_are_joined_while_another_machine_reads(url, elsewhere):
    store = FeatureStore(url)
    for start in range(0, 90, 30):
        fill(store, range(start, start + 30))
    reader = elsewhere(url)
    rows = reader.rows(RECIPE, keys_of(range(90)), "pooled")
    joined = elsewhere(url)
    assert compact(joined, RECIPE, dry_run=False).after == 1
    assert holds(joined, range(90))
    assert np.array_equal(rows[:], features_of(range(90)))
    assert holds(store, range(90))
    assert verify(joined).damaged == {}


def test_collection_leaves_young_shards_and_removes_old_ones(url, monkeypatch):
    store = FeatureStore(url)
    store.write_table(Table("some", keys_of(range(10)), [str(n) for n in range(10)]))
    fill(store, range(10))
    fill(store, range(50, 80))
    fill(store, range(5), OTHER)
    done = collect(store, dry_run=False)
    assert (done.removed_shards, done.young_shards) == (0, 1)
    monkeypatch.setattr("cache.bucket.place.GRACE_SECONDS", -1e9)
    assert collect(store, dry_run=True).removed_shards == 1
    done = collect(store, dry_run=False)
    assert (done.removed_shards, done.young_shards) == (1, 0)
    assert holds(store, range(10))
    assert store.missing(RECIPE, keys_of(range(50, 80)), ["pooled"]).all()
    assert collect(store, False, drop_recipes=[OTHER]).removed_shards == 1
    assert FeatureStore(url).recipes() == [RECIPE]


def test_features_are_pushed_and_pulled(url, tmp_path, elsewhere):
    local = FeatureStore(tmp_path / "local")
    fill(local, range(100))
    fill(local, range(20), OTHER)
    local.write_table(Table("some", keys_of(range(10)), [str(n) for n in range(10)]))
    pushed = export_store(local, url)
    assert (pushed.shards, pushed.tables, pushed.refused) == (2, 1, {})
    assert export_store(local, url).present == 2
    pulled = import_store(FeatureStore(tmp_path / "copy"), url)
    assert (pulled.shards, pulled.tables, pulled.refused) == (2, 1, {})
    assert holds(FeatureStore(tmp_path / "copy"), range(100))
    assert holds(elsewhere(url), range(20), OTHER)


def test_something_else_in_a_bucket_is_no_store(memory_url):
    import fsspec

    fsspec.filesystem("memory").pipe(memory_url + "/photos/cat.jpg", b"meow")
    with pytest.raises(StoreError, match=f"{memory_url}: exists and is not a feature store"):
        FeatureStore(memory_url)
    with pytest.raises(StoreError, match="is not a feature store"):
        import_store(FeatureStore(memory_url + "/x"), memory_url + "/y")


def test_a_newer_store_is_refused(memory_url):
    import fsspec

    fsspec.filesystem("memory").pipe(memory_url + "/VERSION", b"99\n")
    with pytest.raises(StoreError, match=f"{memory_url}/VERSION: store format '99' is not known"):
        FeatureStore(memory_url)


def test_a_limit_on_its_size_holds_and_eviction_is_refused(url):
    fill(FeatureStore(url), range(1000))
    held = FeatureStore(url).holding(RECIPE).bytes
    with pytest.raises(StoreError, match="would pass the limit"):
        fill(FeatureStore(url, Budget(held + 500)), range(1000, 2000))
    fill(FeatureStore(url, Budget(3 * held)), range(1000, 2000))
    with pytest.raises(StoreError, match="--evict cannot know what other machines use"):
        FeatureStore(url, Budget(held, evict=True))


def test_a_damaged_shard_is_told_left_by_readers_and_set_aside_by_verify(memory_url, elsewhere):
    import fsspec

    store = FeatureStore(memory_url)
    path = fill(store, range(50))
    fill(store, range(50, 60))
    files = fsspec.filesystem("memory")
    place = f"{memory_url}/recipes/{RECIPE.id}/shards/{path.name}"
    content = bytearray(files.cat(place))
    content[-200] ^= 1  # in the directory
    files.pipe(place, bytes(content))
    reader = elsewhere(memory_url)
    with pytest.warns(match=r"damaged shard: memory://.*directory does not hold; left where it is"):
        missing = reader.missing(RECIPE, keys_of(range(60)), ["pooled"])
    assert missing.tolist() == [True] * 50 + [False] * 10
    assert files.exists(place)
    found = verify(reader)
    (reason,) = found.damaged.values()
    assert reason.startswith(memory_url)
    assert f"moved to {memory_url}/recipes/{RECIPE.id}/quarantine" in reason
    assert not files.exists(place)
    fill(reader, range(50))
    assert holds(elsewhere(memory_url), range(60))
    assert verify(reader).damaged == {}


def test_a_damaged_body_is_never_given_out_and_extracted_again(memory_url, elsewhere):
    import fsspec

    store = FeatureStore(memory_url)
    path = fill(store, range(50))
    place = f"{memory_url}/recipes/{RECIPE.id}/shards/{path.name}"
    files = fsspec.filesystem("memory")
    content = files.cat(place)
    at = content.index(features_of(range(50)).tobytes())
    files.pipe(place, content[: at + 9] + b"\xff" + content[at + 10 :])
    reader = elsewhere(memory_url)
    with pytest.raises(StoreError, match="samples have no pooled"), pytest.warns(match="damaged"):
        reader.read(RECIPE, keys_of(range(50)), "pooled")
    for again in (reader, FeatureStore(memory_url)):
        assert again.missing(RECIPE, keys_of(range(50)), ["pooled"]).all()
    fill(reader, range(50))
    assert holds(reader, range(50))
    assert holds(elsewhere(memory_url), range(50))


def test_credentials_and_endpoint_may_be_options(s3, s3_url, monkeypatch):
    for name in s3.environment:
        monkeypatch.delenv(name)
    options = {"key": "testing", "secret": "testing", "endpoint_url": s3.endpoint, "config_kwargs": {"read_timeout": 20}}
    fill(FeatureStore(s3_url, storage_options=options), range(5))
    assert holds(FeatureStore(s3_url, storage_options=options), range(5))
