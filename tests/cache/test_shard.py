import json
import sys

import h5py
import numpy as np
import pytest

from cache import DamagedShardError, Ragged, Recipe, as_key_array, text_key
from cache.shard import open_shard, verify_shard, write_shard
from tests.cache.conftest import edited

RECIPE = Recipe("st:x", None, "w", {})
KEYS = as_key_array(text_key(str(number)) for number in range(50))
FEATURES = {
    "pooled": np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32),
    "layer1.mean": np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32),
}


@pytest.fixture
def shard(tmp_path):
    return write_shard(tmp_path, RECIPE, KEYS, FEATURES, {"device": "cpu"})


def test_a_shard_gives_back_what_was_written(shard):
    opened = open_shard(shard, RECIPE)
    assert np.array_equal(opened.keys, KEYS)
    assert set(opened.outputs) == set(FEATURES)
    for name, features in FEATURES.items():
        assert opened.outputs[name] == features.shape[1]
        assert np.array_equal(opened.read_output(name), features)
        assert np.array_equal(opened.map_rows(name), features)
        assert not opened.map_rows(name).flags.writeable


def test_h5py_alone_reads_a_shard(shard):
    with h5py.File(shard) as file:
        assert dict(file.attrs)["format"] == 2
        assert file.attrs["recipe_id"] == RECIPE.id
        assert json.loads(file.attrs["recipe"])["backbone"] == "st:x"
        assert json.loads(file.attrs["provenance"]) == {"device": "cpu"}
        assert np.array_equal(file["keys"], KEYS)
        assert np.array_equal(file["outputs/pooled"], FEATURES["pooled"])
        assert file["outputs/pooled"].chunks is None


def test_equal_content_has_an_equal_name_and_is_one_file(shard, tmp_path):
    assert write_shard(tmp_path, RECIPE, KEYS, FEATURES, {"device": "cuda"}) == shard
    assert len(list(tmp_path.iterdir())) == 1


def test_one_flipped_bit_anywhere_in_the_file_is_found(shard):
    content = shard.read_bytes()
    for place in range(0, len(content), 29):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        shard.write_bytes(damaged)
        with pytest.raises(DamagedShardError, match=shard.name):
            open_shard(shard, RECIPE)
    shard.write_bytes(content)
    assert open_shard(shard, RECIPE).rows == 50


def test_what_is_checked_once_is_opened_again_without_hdf5_until_it_changes(shard, monkeypatch):
    open_shard(shard, RECIPE)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "h5py", None)
        assert np.array_equal(open_shard(shard, RECIPE).read_output("pooled"), FEATURES["pooled"])
    verify_shard(shard, RECIPE)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    with pytest.raises(DamagedShardError, match="checksum of the file"):
        open_shard(shard, RECIPE)


def test_ragged_outputs_and_types_of_their_own_come_back(tmp_path):
    rng = np.random.default_rng(3)
    tokens = Ragged.of([rng.normal(size=(length, 5)).astype(np.float16) for length in [3, 0, 7, *[2] * 47]])
    features = {"layer1.tokens.float16": tokens, "pooled": FEATURES["pooled"]}
    opened = open_shard(write_shard(tmp_path, RECIPE, KEYS, features, {}), RECIPE)
    assert opened.outputs == {"layer1.tokens.float16": 5, "pooled": 8}
    assert [opened.is_ragged(name) for name in opened.outputs] == [True, False]
    back = opened.read_output("layer1.tokens.float16")
    assert np.array_equal(back.values, tokens.values)
    assert np.array_equal(back.offsets, tokens.offsets)
    bad = Ragged(tokens.values.astype(np.float32), tokens.offsets)
    bad.values[4] = np.inf
    with pytest.raises(ValueError, match=r"layer1.tokens: row 2 .* is not finite"):
        write_shard(tmp_path, RECIPE, KEYS, {"layer1.tokens": bad}, {})


def test_a_truncated_or_empty_file_is_found(shard):
    content = shard.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 1):
        shard.write_bytes(content[:length])
        with pytest.raises(DamagedShardError, match=shard.name):
            open_shard(shard, RECIPE)


def test_a_shard_under_another_name_or_recipe_is_found(shard, tmp_path):
    with pytest.raises(DamagedShardError, match="another recipe"):
        open_shard(shard, Recipe("st:y", None, "w", {}))
    moved = shard.rename(tmp_path / "0123.h5")
    with pytest.raises(DamagedShardError, match="name"):
        open_shard(moved, RECIPE)


@pytest.mark.parametrize("kind", ["external link", "soft link", "virtual", "external storage", "compressed"])
def test_features_that_are_not_plainly_in_the_file_are_refused(shard, tmp_path, kind):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["data"] = FEATURES["pooled"]
    with edited(shard) as file:
        checksum = file["outputs/pooled"].attrs["xxh3_128"]
        del file["outputs/pooled"]
        if kind == "external link":
            file["outputs/pooled"] = h5py.ExternalLink(str(other), "data")
        elif kind == "soft link":
            file["outputs/pooled"] = h5py.SoftLink("/outputs/layer1.mean")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((50, 8), np.float32)
            layout[:] = h5py.VirtualSource(str(other), "data", (50, 8))
            file.create_virtual_dataset("outputs/pooled", layout)
        elif kind == "external storage":
            file.create_dataset("outputs/pooled", (50, 8), np.float32, external=[(str(tmp_path / "raw"), 0, 1600)])
        else:
            file.create_dataset("outputs/pooled", data=FEATURES["pooled"], compression="gzip")
        if "link" not in kind:
            file["outputs/pooled"].attrs["xxh3_128"] = checksum
    with pytest.raises(DamagedShardError, match="links elsewhere|not stored contiguously"):
        open_shard(shard, RECIPE)


@pytest.mark.parametrize(
    ("keys", "features", "message"),
    [
        (KEYS[:3], FEATURES["pooled"], "expected"),
        (KEYS, FEATURES["pooled"].astype(np.float64), "float64"),
        (KEYS, np.full((50, 2), np.nan, np.float32), r"row 0 .* is not finite"),
        (KEYS[:0], FEATURES["pooled"][:0], "n > 0"),
    ],
)
def test_rows_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, keys, features, message):
    with pytest.raises(ValueError, match=message):
        write_shard(tmp_path, RECIPE, keys, {"pooled": features}, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a" * 101])
def test_an_output_cannot_be_named_like_a_path(tmp_path, name):
    with pytest.raises(ValueError, match="no name"):
        write_shard(tmp_path, RECIPE, KEYS, {name: FEATURES["pooled"]}, {})
