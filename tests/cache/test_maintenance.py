import shutil

import numpy as np
import pytest

from cache import FeatureStore, Ragged, StoreError, Table, write_table
from cache.maintenance import collect, compact, verify
from tests.cache.conftest import OTHER, RECIPE, features_of, fill, holds, keys_of


def want(store, numbers, name="reviews"):
    numbers = list(numbers)
    return write_table(store.path, Table(name, keys_of(numbers), [f"r.csv:{number}" for number in numbers]))


def shards(store, recipe=RECIPE):
    return sorted(store.shard_folder(recipe).glob("*.h5"))


def test_collection_tells_first_and_removes_only_what_no_table_wants(store):
    wanted, unwanted = fill(store, range(20)), fill(store, range(20, 40))
    fill(store, range(5), OTHER)
    want(store, range(20))
    told = collect(store, dry_run=True)
    assert (told.removed_shards, told.freed_bytes, told.rewritten_shards) == (1, unwanted.stat().st_size, 0)
    assert shards(store) == sorted([wanted, unwanted])
    done = collect(store, dry_run=False)
    assert (done.removed_shards, done.freed_bytes) == (told.removed_shards, told.freed_bytes)
    assert shards(store) == [wanted]
    assert holds(store, range(20))
    assert holds(store, range(5), OTHER)
    assert collect(store, dry_run=False).removed_shards == 0


def test_a_shard_of_which_little_is_wanted_is_rewritten_without_the_rest(store):
    fill(store, range(100))
    want(store, [3, 50, 77])
    before = shards(store)[0].stat().st_size
    assert collect(store, dry_run=False).rewritten_shards == 1
    assert shards(store)[0].stat().st_size < before
    assert holds(store, [77, 3, 50])
    assert store.missing(RECIPE, keys_of(range(100)), ["pooled"]).sum() == 97


def test_what_a_running_job_needs_is_left_alone(store):
    fill(store, range(10))
    with store.lease(RECIPE):
        done = collect(store, dry_run=False)
        assert (done.removed_shards, done.busy) == (0, [RECIPE.id])
        assert holds(store, range(10))
    assert collect(store, dry_run=False).removed_shards == 1
    assert FeatureStore(store.path).recipes() == []


def test_a_table_that_cannot_be_read_stops_collection_before_anything_is_removed(store):
    fill(store, range(10))
    fill(store, range(10, 20))
    path = want(store, range(10))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StoreError, match=f"{path.name}: is damaged"):
        collect(store, dry_run=False)
    assert len(shards(store)) == 2


def test_recipes_and_tables_are_dropped_on_request(store):
    fill(store, range(10))
    fill(store, range(10), OTHER)
    path = want(store, range(10))
    assert collect(store, dry_run=False, drop_recipes=[OTHER]).removed_shards == 1
    assert store.recipes() == [RECIPE]
    done = collect(store, dry_run=False, drop_tables=[path])
    assert (done.removed_shards, done.removed_tables) == (1, [path])
    assert not path.exists()


def test_small_shards_are_joined_in_the_order_of_the_table_without_doubles(store):
    for numbers in ([7, 8, 9], [0, 1, 2], [9, 3], [100], [4, 5, 6]):
        fill(store, numbers)
    want(store, range(10))
    told = compact(store, RECIPE, dry_run=True)
    assert (told.before, told.after, told.dropped_rows) == (5, 1, 1)
    assert len(shards(store)) == 5
    done = compact(store, RECIPE, dry_run=False)
    assert (done.before, done.after, done.dropped_rows) == (5, 1, 1)
    (shard,) = FeatureStore(store.path).shards(RECIPE)
    assert np.array_equal(shard.keys, keys_of([*range(10), 100]))
    assert holds(store, [100, *range(9, -1, -1)])
    assert verify(store).damaged == {}
    assert compact(store, RECIPE, dry_run=False).after == 1


def test_joining_aims_at_a_size_and_keeps_outputs_and_ragged_rows(store):
    for start in range(0, 60, 5):
        numbers = range(start, start + 5)
        tokens = Ragged.of([features_of(range(number % 3)) + number for number in numbers])
        store.commit(RECIPE, keys_of(numbers), {"layer1.tokens": tokens, "pooled": features_of(numbers)}, {"device": "cpu"})
        fill(store, numbers, output="layer2.mean")
    expected = store.read(RECIPE, keys_of(range(60)), "layer1.tokens")
    size = sum(path.stat().st_size for path in shards(store))
    done = compact(store, RECIPE, dry_run=False, shard_bytes=size // 6)
    assert done.before == 24
    assert 2 < done.after < 12
    assert done.after == len(shards(store))
    found = store.read(RECIPE, keys_of(range(60)), "layer1.tokens")
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.offsets, expected.offsets)
    assert holds(store, range(60))
    assert holds(store, range(60), output="layer2.mean")


def test_verification_counts_everything_and_leaves_a_sound_store_as_it_is(store):
    fill(store, range(10))
    fill(store, range(10), OTHER)
    want(store, range(10))
    sizes = []
    found = verify(store, sizes.append)
    assert (found.shards, found.damaged) == (2, {})
    assert sum(sizes) == sum(path.stat().st_size for path in [*shards(store), *shards(store, OTHER)])


def test_verification_names_damaged_recipes_and_tables(store):
    fill(store, range(10))
    path = want(store, range(10))
    path.write_bytes(b"PAR1")
    description = store.folder(RECIPE) / "recipe.json"
    description.write_text("{}")
    found = verify(store)
    assert set(found.damaged) == {path, description, *shards(store)}
    fill(FeatureStore(store.path), [1])
    shutil.rmtree(store.path / "tables")
    assert verify(FeatureStore(store.path)).damaged == {}
