from contextlib import contextmanager

import h5py
import numpy as np
import pytest
import xxhash

from cache import FeatureStore, Recipe, as_key_array, text_key
from cache.layout import TRAILER

RECIPE = Recipe("st:x", None, "w", {})
OTHER = Recipe("st:y", None, "w", {}, dtype="float16")


def keys_of(numbers):
    return as_key_array(text_key(str(number)) for number in numbers)


def features_of(numbers, width=6, dtype=np.float32):
    """Features that can be told from the number of their sample."""
    return (np.asarray(list(numbers)).reshape(-1, 1) * width + np.arange(width)).astype(dtype)


def fill(store, numbers, recipe=RECIPE, output="pooled"):
    """Commit samples by their numbers."""
    numbers = list(numbers)
    return store.commit(recipe, keys_of(numbers), {output: features_of(numbers, dtype=recipe.dtype_of(output))})


def holds(store, numbers, recipe=RECIPE, output="pooled"):
    """Tell whether the store gives exactly what was committed for samples."""
    numbers = list(numbers)
    expected = features_of(numbers, dtype=recipe.dtype_of(output))
    return np.array_equal(store.read(recipe, keys_of(numbers), output), expected)


@contextmanager
def edited(shard):
    """Change a shard as somebody would who knows the format, with a checksum of the file that holds."""
    with h5py.File(shard, "r+") as file:
        yield file
    content = shard.read_bytes()
    shard.write_bytes(content + TRAILER + xxhash.xxh3_128_digest(content))


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "store")
