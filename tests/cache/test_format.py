"""The format's promise: old stores stay readable, newer ones are refused, and a stranger can read a shard."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureStore, Ragged, Recipe, StoreError, as_key_array, read_table, text_key
from cache.maintenance import verify
from tests.cache.conftest import RECIPE, features_of, fill, holds, keys_of

FORMAT_1 = Path(__file__).parent / "fixtures" / "format-1"
FORMAT_PAGE = Path(__file__).parents[2] / "docs" / "store-format.md"
TEXTS = [f"text {number}" for number in range(12)]


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copytree(FORMAT_1, tmp_path / "old"))


def check_old_rows(store):
    keys = as_key_array(map(text_key, TEXTS))
    half, plain = (
        next(r for r in store.recipes() if r.backbone == name) for name in ("hf:bert-base-uncased", "st:all-MiniLM-L6-v2")
    )
    expected = (np.arange(72).reshape(12, 6) / 7).astype(np.float32)
    assert np.array_equal(store.read(plain, keys, "pooled"), expected)
    assert np.array_equal(store.read(plain, keys[::-1], "layer3.mean"), expected[::-1, :4] + 1)
    assert np.array_equal(store.read(half, keys, "layer12.mean"), expected.astype(np.float16))


def test_a_store_of_the_first_format_reads_as_it_did(old):
    store = FeatureStore(old)
    check_old_rows(store)
    assert verify(store).damaged == {}
    assert (old / "VERSION").read_text() == "1\n"
    (table,) = (old / "tables").iterdir()
    assert read_table(table).ids[0] == "reviews.csv:2"


def test_it_becomes_the_present_format_with_the_first_commit_and_keeps_its_rows(old):
    store = FeatureStore(old)
    fill(store, range(5))
    assert (old / "VERSION").read_text() == "2\n"
    check_old_rows(FeatureStore(old))
    assert holds(FeatureStore(old), range(5))


def test_a_flipped_bit_in_a_shard_of_the_first_format_is_found(old):
    path = sorted(old.rglob("*.h5"))[0]
    content = bytearray(path.read_bytes())
    content[content.index(as_key_array([text_key("text 3")]).tobytes())] ^= 1
    path.write_bytes(content)
    assert list(verify(FeatureStore(old)).damaged) == [path]


@pytest.mark.parametrize("version", ["3", "2147483648", "", "two", "-1", "2.0", "9" * 1000])
def test_another_version_is_refused_in_one_line(old, version):
    (old / "VERSION").write_text(version)
    with pytest.raises(StoreError, match=f"{old}/VERSION.*") as refused:
        FeatureStore(old)
    assert "\n" not in str(refused.value)


def test_a_newer_shard_in_the_store_is_left_out_by_name(store, monkeypatch):
    from cache import layout, shard

    monkeypatch.setattr(layout, "FORMAT", 3)
    monkeypatch.setattr(shard, "FORMAT", 3)
    path = fill(store, range(5))
    monkeypatch.undo()
    with pytest.warns(UserWarning, match=f"{path.name}: shard format 3 is not known here"):
        assert FeatureStore(store.path).missing(RECIPE, keys_of(range(5)), ["pooled"]).all()


def test_the_format_page_s_own_code_reads_a_shard_with_h5py_alone(store):
    snippets = re.findall(r"```python\n(.*?)```", FORMAT_PAGE.read_text(), re.DOTALL)
    tokens = Ragged.of([features_of(range(number % 3)) for number in range(10)])
    path = store.commit(RECIPE, keys_of(range(10)), {"pooled": features_of(range(10)), "layer1.tokens": tokens})
    found: dict = {"path": str(path)}
    for snippet in snippets:
        assert "cache" not in re.findall(r"^(?:import|from) (\w+)", snippet, re.MULTILINE)
        exec(snippet, found)
    assert np.array_equal(found["keys"], keys_of(range(10)))
    assert np.array_equal(found["features"]["pooled"], features_of(range(10)))
    assert all(map(np.array_equal, found["features"]["layer1.tokens"], tokens))
    assert Recipe.from_json(found["recipe"]) == RECIPE
    assert found["sound"] is True
    assert found["text_key"]("17") == keys_of([17]).tobytes()
