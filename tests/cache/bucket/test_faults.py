"""What goes wrong between here and a bucket: it is tried again, then told in one line; no row is ever wrong."""

import numpy as np
import pytest

from cache import FeatureStore, StoreError
from cache.maintenance import compact, verify
from tests.cache.conftest import RECIPE, features_of, fill, holds, keys_of
from tests.s3 import Faults


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr("cache.bucket.remote._FIRST_WAIT", 0.01)


def test_a_store_works_through_every_fault_at_once(s3, s3_url, elsewhere):
    s3.faults = Faults(busy=0.15, broken=0.1, cut_uploads=0.2, cut_reads=0.15, short_reads=0.1, flipped_reads=0.1, slow=0.05)
    store = FeatureStore(s3_url)
    for start in range(0, 400, 40):
        fill(store, range(start, start + 40))
    other = elsewhere(s3_url)
    assert not other.missing(RECIPE, keys_of(range(400)), ["pooled"]).any()
    assert holds(other, np.random.default_rng(0).permutation(400))
    assert set(s3.faults.happened) >= {"busy", "broken", "cut_uploads", "cut_reads", "short_reads", "flipped_reads", "slow"}
    s3.faults = Faults()
    assert verify(elsewhere(s3_url)).damaged == {}


def test_a_bucket_that_stays_busy_is_told_in_one_line(s3, s3_url, monkeypatch):
    store = FeatureStore(s3_url)
    monkeypatch.setattr(store.place.remote, "patience", 1.0)
    s3.faults = Faults(busy=1.0)
    with pytest.raises(
        StoreError, match=rf"{s3_url}/VERSION: could not be written: .*reduce your request rate.*tries in"
    ) as told:
        fill(store, range(5))
    assert "\n" not in str(told.value)
    assert len(s3.faults.requests) > 2
    s3.faults = Faults()
    fill(store, range(5))
    assert holds(store, range(5))


def test_wrong_credentials_are_told_at_once(s3, s3_url, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    with pytest.raises(StoreError, match=rf"{s3_url}/VERSION: cannot be read: .*Access Key.*; check the credentials"):
        FeatureStore(s3_url)
    assert len(s3.faults.requests) == 1


def test_a_bucket_that_is_not_there_is_told(s3):
    with pytest.raises(StoreError, match="s3://nowhere/features: there is no such bucket; create it, or mend the URL"):
        FeatureStore("s3://nowhere/features")


def test_a_server_that_is_not_there_is_told(s3, s3_url, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HEADSTART_BUCKET_PATIENCE", "0.2")
    with pytest.raises(StoreError, match=f"{s3_url}/VERSION: cannot be read: .*127.0.0.1:9"):
        FeatureStore(s3_url)


def test_a_driver_that_is_not_installed_is_told(monkeypatch):
    with pytest.raises(StoreError, match=r"gs://bucket/x: .*pip install gcsfs"):
        FeatureStore("gs://bucket/x")
    with pytest.raises(StoreError, match="nosuch://bucket/x: Protocol not known: nosuch"):
        FeatureStore("nosuch://bucket/x")


def test_an_upload_in_parts_that_breaks_off_leaves_nothing(s3, s3_url, monkeypatch):
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda size, chunksize=None, **others: 5 * 2**20)
    keys, features = keys_of(range(3000)), features_of(range(3000), 1024)
    store = FeatureStore(s3_url)
    fill(store, range(1))
    monkeypatch.setattr(store.place.remote, "patience", 0.5)
    s3.faults = Faults(cut_uploads=1.0)
    with pytest.raises(StoreError, match="could not be written"):
        store.commit(RECIPE, keys, {"wide": features})
    assert s3.faults.happened["cut_uploads"] > 1
    s3.faults = Faults()
    held, uploads = s3.objects(s3_url.split("/")[2])
    assert sum(name.endswith(".h5") for name in held) == 1
    assert uploads == 0
    assert store.missing(RECIPE, keys, ["wide"]).all()
    monkeypatch.setattr(store.place.remote, "patience", 60.0)
    s3.faults = Faults(cut_uploads=0.3)
    store.commit(RECIPE, keys, {"wide": features})
    assert np.array_equal(store.read(RECIPE, keys, "wide"), features)


def test_a_listing_from_before_a_put_costs_double_work_and_no_row(s3, s3_url, elsewhere):
    fill(FeatureStore(s3_url), range(10))
    reader = elsewhere(s3_url)
    assert holds(reader, range(10))
    s3.faults = Faults(stale=True)
    writer = elsewhere(s3_url)
    fill(writer, range(10, 30))
    assert holds(writer, range(30)), "a process knows what it has put"
    late = elsewhere(s3_url)
    assert late.missing(RECIPE, keys_of(range(30)), ["pooled"]).tolist() == [False] * 10 + [True] * 20
    fill(late, range(10, 30))
    assert holds(late, range(30))
    assert s3.faults.happened["stale"] > 0


def test_a_listing_from_before_a_removal_costs_double_work_and_no_row(s3, s3_url, elsewhere, monkeypatch):
    store = FeatureStore(s3_url)
    for start in range(0, 90, 30):
        fill(store, range(start, start + 30))
    reader = elsewhere(s3_url)
    machine = str(reader.path.parents[2])
    assert reader.holding(RECIPE).rows == 90  # its heads are on that machine now
    s3.faults = Faults(stale=True)
    compact(elsewhere(s3_url), RECIPE, dry_run=False)
    monkeypatch.setenv("XDG_CACHE_HOME", machine)
    again = FeatureStore(s3_url)
    assert again.path == reader.path
    missing = again.missing(RECIPE, keys_of(range(90)), ["pooled"])
    assert missing.all(), "the old shards are listed and gone, the new one is there and not listed"
    fill(again, range(90))
    assert holds(again, range(90))
    s3.faults = Faults()
    assert holds(elsewhere(s3_url), range(90))


def test_a_shard_that_vanishes_under_a_reader_is_missing_and_no_crash(memory_url, elsewhere):
    import fsspec

    store = FeatureStore(memory_url)
    path = fill(store, range(50))
    fill(store, range(50, 60))
    reader = elsewhere(memory_url)
    rows = reader.rows(RECIPE, keys_of(range(60)), "pooled")
    fsspec.filesystem("memory").rm(f"{memory_url}/recipes/{RECIPE.id}/shards/{path.name}")
    with pytest.raises(StoreError, match="50 of 60 samples have no pooled"):
        rows[:]
    assert reader.missing(RECIPE, keys_of(range(60)), ["pooled"]).sum() == 50
    fill(reader, range(50))
    assert np.array_equal(rows[:], features_of(range(60)))
