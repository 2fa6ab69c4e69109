import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import FeatureStore, Recipe, StoreError, StoreWarning, as_key_array, text_key

RECIPE = Recipe("st:x", None, "w", {})


def keys_of(numbers):
    return as_key_array(text_key(str(number)) for number in numbers)


def features_of(numbers, width=6):
    """Features that can be told from the number of their sample."""
    return np.array([[number * width + column for column in range(width)] for number in numbers], np.float32).reshape(-1, width)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "store")


def test_an_empty_store_lacks_everything_and_makes_no_folder(store):
    assert store.missing(RECIPE, keys_of(range(3)), ["pooled"]).all()
    assert store.recipes() == []
    assert not store.path.exists()


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True), max_size=5), st.lists(st.integers(0, 60)))
def test_what_was_committed_is_found_and_read_in_any_order(tmp_path_factory, shards, wanted):
    store = FeatureStore(tmp_path_factory.mktemp("store") / "s")
    for numbers in shards:
        store.commit(RECIPE, keys_of(numbers), {"pooled": features_of(numbers)})
    held = {number for numbers in shards for number in numbers}
    assert store.missing(RECIPE, keys_of(wanted), ["pooled"]).tolist() == [number not in held for number in wanted]
    present = [number for number in wanted if number in held]
    if present:
        assert np.array_equal(store.read(RECIPE, keys_of(present), "pooled"), features_of(present))


def test_a_commit_is_seen_by_a_store_that_was_open_before(store):
    reader = FeatureStore(store.path)
    assert reader.missing(RECIPE, keys_of([1]), ["pooled"]).all()
    store.commit(RECIPE, keys_of([1]), {"pooled": features_of([1])})
    assert not reader.missing(RECIPE, keys_of([1]), ["pooled"]).any()


def test_a_sample_is_missing_if_any_of_the_outputs_is(store):
    store.commit(RECIPE, keys_of([1, 2]), {"pooled": features_of([1, 2])})
    store.commit(RECIPE, keys_of([2]), {"layer1.mean": features_of([2], 3)})
    assert store.missing(RECIPE, keys_of([1, 2]), ["pooled", "layer1.mean"]).tolist() == [True, False]
    assert store.holding(RECIPE).outputs == {"layer1.mean": (1, 3), "pooled": (2, 6)}
    assert store.holding(RECIPE).rows == 2


def test_recipes_do_not_see_each_other_s_rows(store):
    store.commit(RECIPE, keys_of([1]), {"pooled": features_of([1])})
    assert store.missing(Recipe("st:y", None, "w", {}), keys_of([1]), ["pooled"]).all()


def test_reading_what_is_missing_says_how_much(store):
    store.commit(RECIPE, keys_of([1]), {"pooled": features_of([1])})
    with pytest.raises(StoreError, match="1 of 2 samples have no pooled"):
        store.read(RECIPE, keys_of([1, 2]), "pooled")


def test_a_recipe_is_found_by_the_beginning_of_its_id(store):
    store.commit(RECIPE, keys_of([1]), {"pooled": features_of([1])})
    assert store.find_recipe(RECIPE.id[:6]) == RECIPE
    with pytest.raises(StoreError, match="0 recipes begin with 'zzz'"):
        store.find_recipe("zzz")


def test_a_damaged_shard_is_set_aside_and_the_rest_still_reads(store):
    store.commit(RECIPE, keys_of([1, 2]), {"pooled": features_of([1, 2])})
    path = store.commit(RECIPE, keys_of([3]), {"pooled": features_of([3])})
    content = bytearray(path.read_bytes())
    content[content.index(features_of([3]).tobytes())] ^= 1
    path.write_bytes(content)
    reader = FeatureStore(store.path)
    with pytest.warns(UserWarning, match=f"damaged shard: .*{path.name}"):
        assert reader.missing(RECIPE, keys_of([1, 2, 3]), ["pooled"]).tolist() == [False, False, True]
    quarantine = path.parent.parent / "quarantine"
    assert sorted(p.name for p in quarantine.iterdir()) == [path.name, f"{path.name}.reason"]
    assert np.array_equal(reader.read(RECIPE, keys_of([2]), "pooled"), features_of([2]))
    store.commit(RECIPE, keys_of([3]), {"pooled": features_of([3])})
    assert not reader.missing(RECIPE, keys_of([3]), ["pooled"]).any()


def test_a_newer_format_is_refused(store):
    store.commit(RECIPE, keys_of([1]), {"pooled": features_of([1])})
    (store.path / "VERSION").write_text("3\n")
    with pytest.raises(StoreError, match="update headstart"):
        FeatureStore(store.path)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(StoreError, match="not a feature store"):
        FeatureStore(tmp_path)


def test_a_recipe_that_does_not_fit_its_folder_is_left_out_and_written_again_when_it_is_used(store):
    store.commit(RECIPE, keys_of([1]), {"pooled": features_of([1])})
    description = store.path / "recipes" / RECIPE.id / "recipe.json"
    description.write_text(Recipe("st:z", None, "w", {}).to_json())
    with pytest.warns(StoreWarning, match="holds the recipe"):
        assert store.recipes() == []
    FeatureStore(store.path).commit(RECIPE, keys_of([2]), {"pooled": features_of([2])})
    assert store.recipes() == [RECIPE]


WRITER = """
import sys
import numpy as np
from cache import FeatureStore
from tests.cache.test_store import RECIPE, features_of, keys_of
store = FeatureStore(sys.argv[1])
for start in range(0, 100_000, 50):
    numbers = range(start, start + 50)
    store.commit(RECIPE, keys_of(numbers), {"pooled": features_of(numbers)})
    print(start + 50, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_loses_no_committed_row_and_leaves_no_broken_shard(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(5):
        place = tmp_path / str(number)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
        )
        writer.stdout.readline()
        time.sleep(rng.uniform(0.01, 0.3))
        writer.send_signal(signal.SIGKILL)
        said = [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        committed = max(said, default=50)
        store = FeatureStore(place)
        numbers = range(committed)
        assert np.array_equal(store.read(RECIPE, keys_of(numbers), "pooled"), features_of(numbers))
        assert not (place / "recipes" / RECIPE.id / "quarantine").exists()
