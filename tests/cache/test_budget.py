import os

import pytest

from cache import FeatureStore, Recipe, StoreError
from cache.budget import Budget, parse_size, size_of
from tests.cache.conftest import OTHER, RECIPE, fill, holds

THIRD = Recipe("st:z", None, "w", {})


@pytest.mark.parametrize(
    ("text", "size"),
    [("500MB", 500_000_000), ("2.5 GiB", 2_684_354_560), ("1000", 1000), ("3k", 3000), ("1tb", 10**12), ("7B", 7)],
)
def test_sizes_are_written_as_people_do(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "many", "-3GB", "3XB", "1e9"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_what_would_pass_the_limit_is_refused_and_nothing_is_removed(store):
    fill(store, range(100))
    held = size_of(store.place, store.folder(RECIPE))
    limited = FeatureStore(store.path, Budget(held + 500))
    with pytest.raises(StoreError, match="would pass the limit of .*; raise --max-size"):
        fill(limited, range(100, 200))
    assert holds(store, range(100))


def test_told_to_evict_it_parts_with_what_was_used_longest_ago(store):
    for age, recipe in ((300, OTHER), (200, THIRD), (100, RECIPE)):
        fill(store, range(2000), recipe)
        stamp = store.folder(recipe).stat().st_mtime - age
        os.utime(store.folder(recipe) / "recipe.json", (stamp, stamp))
    total = sum(size_of(store.place, store.folder(recipe)) for recipe in (RECIPE, OTHER, THIRD))
    limited = FeatureStore(store.path, Budget(total, evict=True))
    fill(limited, range(2000, 2050))
    assert OTHER not in FeatureStore(store.path).recipes()
    assert holds(FeatureStore(store.path), range(2050))
    assert holds(FeatureStore(store.path), range(2000), THIRD)


def test_where_evicting_would_not_help_nothing_is_removed(store):
    fill(store, range(2000), OTHER)
    limited = FeatureStore(store.path, Budget(size_of(store.place, store.folder(OTHER)) + 500, evict=True))
    with pytest.raises(StoreError, match="would pass the limit"):
        fill(limited, range(9000))
    assert holds(store, range(2000), OTHER)
    assert RECIPE not in FeatureStore(store.path).recipes()


def test_what_the_same_store_has_used_is_not_evicted(store):
    for recipe in (OTHER, THIRD):
        fill(store, range(2000), recipe)
    limited = FeatureStore(
        store.path,
        Budget(size_of(store.place, store.folder(OTHER)) + size_of(store.place, store.folder(THIRD)) + 100, evict=True),
    )
    assert holds(limited, range(2000), OTHER)
    fill(limited, range(50))
    assert OTHER in FeatureStore(store.path).recipes()
    assert THIRD not in FeatureStore(store.path).recipes()


def test_a_recipe_that_a_job_is_at_work_on_is_not_evicted(store):
    fill(store, range(2000), OTHER)
    fill(store, range(2000))
    total = size_of(store.place, store.folder(RECIPE)) + size_of(store.place, store.folder(OTHER))
    limited = FeatureStore(store.path, Budget(total + 100, evict=True))
    with store.lease(OTHER), pytest.raises(StoreError, match="would pass the limit"):
        fill(limited, range(2000, 2050))
    assert holds(store, range(2000), OTHER)
    fill(limited, range(2000, 2050))
    assert FeatureStore(store.path).recipes() == [RECIPE]
