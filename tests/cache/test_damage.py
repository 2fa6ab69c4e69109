"""Bytes that are not what was written, by accident or by somebody's design."""

import contextlib
import os
import random
import resource
import shutil
import tempfile
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import xxhash

from cache import FeatureStore, Ragged, Recipe, StoreError, StoreWarning, Table, read_table, write_table
from cache import index as index_module
from cache.budget import Budget
from cache.layout import FORMAT, name_of
from cache.maintenance import collect, verify
from cache.transfer import export_store
from tests.cache.conftest import OTHER, RECIPE, edited, features_of, fill, holds, keys_of
from tests.cache.test_faults import in_a_process_of_its_own

FORMAT_1 = Path(__file__).parent / "fixtures" / "format-1"


def damage(path, rng):
    """Change a file in one of the ways in which files go wrong."""
    content = bytearray(path.read_bytes())
    size = len(content)
    kind = rng.choice(["bit", "bit", "bit", "bytes", "zeros", "truncate", "extend", "cut", "insert", "empty", "gone", "swap"])
    at = rng.randrange(size) if size else 0
    some = slice(at, at + rng.randint(1, 64))
    if kind == "bit" and size:
        content[at] ^= 1 << rng.randrange(8)
    elif kind == "bytes":
        content[some] = rng.randbytes(len(content[some]))
    elif kind == "zeros":
        content[some] = bytes(len(content[some]))
    elif kind == "truncate":
        del content[at:]
    elif kind == "extend":
        content += rng.randbytes(rng.randint(1, 300))
    elif kind == "cut":
        del content[some]
    elif kind == "insert":
        content[at:at] = rng.randbytes(rng.randint(1, 64))
    elif kind == "empty":
        content = bytearray()
    elif kind == "swap":
        content[: size // 2], content[size // 2 :] = content[size // 2 :], content[: size // 2]
    path.write_bytes(content) if kind != "gone" else path.unlink()
    return kind


def use_everything(place, expected, labels, look_at_all=True):
    """Use a store as a reader would: no value may be wrong, and nothing but a `StoreError` may be raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        try:
            store = FeatureStore(place)
        except StoreError:
            return
        for recipe, output, keys, features in expected:
            missing = store.missing(recipe, keys, [output])
            with contextlib.suppress(StoreError):
                found, wanted = store.read(recipe, keys[~missing], output), features[~missing]
                if isinstance(wanted, Ragged):
                    assert np.array_equal(found.offsets, wanted.offsets)
                    found, wanted = found.values, wanted.values
                assert np.array_equal(found, wanted)
        for path in (store.path / "tables").glob("*.parquet"):
            with contextlib.suppress(StoreError):
                assert read_table(path).labels == labels
        if look_at_all:
            store.recipes()
            verify(store)


def fuzz(place, times, seed, expected, labels, choose):
    """Damage one file of a store at a time, use the store, and put it back as it was."""

    def work():
        limit = 2**31 + int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        rng = random.Random(seed)
        whole = {path: path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}
        chosen = [path for path in whole if choose(path)]
        for number in range(times):
            damage(rng.choice(chosen), rng)
            use_everything(place, expected, labels, number % 5 == 0)
            for path in [path for path in place.rglob("*") if path.is_file() and path not in whole]:
                path.unlink()
            for path, content in whole.items():
                if not path.is_file() or path.read_bytes() != content:
                    path.write_bytes(content)
        store = FeatureStore(place)
        for recipe, output, keys, _ in expected:
            assert not store.missing(recipe, keys, [output]).any()

    in_a_process_of_its_own(work)


@pytest.fixture
def fast_disk(monkeypatch):
    """A folder in memory, where there is one, for thousands of synced writes."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        monkeypatch.setenv("XDG_CACHE_HOME", f"{folder}/memo")
        yield Path(folder)


LABELS = ["good", "bad"] * 15


def make_a_store_of_everything(place):
    store = FeatureStore(place)
    fill(store, range(20))
    fill(store, range(20, 40))
    fill(store, range(30), OTHER)
    tokens = Ragged.of([features_of(range(number % 4)) + number for number in range(30)])
    store.commit(RECIPE, keys_of(range(30)), {"layer1.tokens": tokens})
    write_table(store.path, Table("reviews", keys_of(range(30)), [str(n) for n in range(30)], LABELS))
    expected = [
        (RECIPE, "pooled", keys_of(range(40)), features_of(range(40))),
        (OTHER, "pooled", keys_of(range(30)), features_of(range(30), dtype=np.float16)),
        (RECIPE, "layer1.tokens", keys_of(range(30)), tokens),
    ]
    use_everything(place, expected, LABELS)
    return expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", [".h5", "recipe.json", "VERSION", ".idx", ".parquet"])
def test_a_thousand_mutations_of_a_file_give_no_crash_and_no_wrong_value(fast_disk, monkeypatch, kind):
    monkeypatch.setattr(index_module, "WORTH_KEEPING", 10)
    expected = make_a_store_of_everything(fast_disk / "store")
    assert len(list(fast_disk.rglob("*.idx"))) == 2
    fuzz(fast_disk / "store", 1000, kind, expected, LABELS, lambda path: path.name.endswith(kind))


@pytest.mark.slow
def test_mutations_of_shards_of_the_first_format_give_no_crash_and_no_wrong_value(fast_disk):
    shutil.copytree(FORMAT_1, fast_disk / "store")
    store = FeatureStore(fast_disk / "store")
    keys = store.keys(store.recipes()[0])
    expected = [
        (recipe, output, keys, store.read(recipe, keys, output))
        for recipe in store.recipes()
        for output in store.holding(recipe).outputs
    ]
    assert len(expected) == 3
    fuzz(store.path, 1000, 0, expected, ["good", "bad"] * 6, lambda path: path.suffix == ".h5")


def test_swapped_and_deleted_shards_are_noticed_and_everything_else_reads(store):
    paths = [fill(store, range(start, start + 10)) for start in range(0, 50, 10)]
    contents = [path.read_bytes() for path in paths]
    paths[0].write_bytes(contents[1])
    paths[1].write_bytes(contents[0])
    paths[2].unlink()
    reader = FeatureStore(store.path)
    with pytest.warns(StoreWarning, match="its name is not the hash of its content"):
        missing = reader.missing(RECIPE, keys_of(range(50)), ["pooled"])
    assert np.flatnonzero(missing).tolist() == list(range(30))
    assert holds(reader, range(30, 50))
    fill(reader, range(30))
    assert holds(reader, range(50))
    assert len(list((store.folder(RECIPE) / "quarantine").glob("*.reason"))) == 2


def test_verify_finds_what_opening_does_not_look_for(store):
    path = fill(store, range(10))
    assert holds(store, range(10))
    with open(path, "r+b") as file:  # an unchanged status: what a failing disk does
        status = path.stat()
        content = path.read_bytes()
        file.seek(content.index(features_of([3]).tobytes()))
        file.write(b"\xff")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    found = verify(store)
    assert list(found.damaged) == [path]
    assert "the checksum of the file does not hold" in found.damaged[path]
    assert verify(store).damaged == {}
    assert store.missing(RECIPE, keys_of(range(10)), ["pooled"]).all()


def rename_to_fit(path):
    """Give a changed shard the name that its content asks for."""
    sums = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: sums.update({name: item.attrs["xxh3_128"]}) if "xxh3_128" in item.attrs else None)
    return path.rename(path.parent / name_of(FORMAT, RECIPE, sums))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("object", "not of numbers"),
        ("absurd shape", "reaches past the end"),
        ("huge attribute", "not a single value"),
        ("another recipe", "belongs to another recipe"),
        ("more in the root", "something else than"),
        ("path in a name", "is no name for an output"),
        ("offsets that lie", "offsets must rise"),
    ],
)
def test_hostile_shards_are_refused_by_name(store, kind, reason):
    tokens = Ragged.of([features_of(range(number % 4)) for number in range(10)])
    path = store.commit(RECIPE, keys_of(range(10)), {"pooled": features_of(range(10)), "layer1.tokens": tokens})
    with edited(path) as file:
        if kind == "object":
            del file["outputs/pooled"]
            file.create_dataset("outputs/pooled", data=np.array([b"x"] * 10, object), dtype=h5py.string_dtype())
            file["outputs/pooled"].attrs["xxh3_128"] = "0" * 32
        elif kind == "absurd shape":
            del file["outputs/pooled"]
            file.create_dataset("outputs/pooled", shape=(10, 2**40), dtype=np.float32)
            file["outputs/pooled"].attrs["xxh3_128"] = "0" * 32
        elif kind == "huge attribute":
            del file.attrs["format"]
            file.attrs.create("format", np.zeros(5000, np.int64))
        elif kind == "another recipe":
            file.attrs["recipe_id"] = OTHER.id
        elif kind == "more in the root":
            file["more"] = 1
        elif kind == "path in a name":
            file["outputs"].create_dataset(b"..\\secret", data=features_of(range(10)))
        elif kind == "offsets that lie":
            file["outputs/layer1.tokens/offsets"][3] = 2**62
            sum_ = xxhash.xxh3_128_hexdigest(file["outputs/layer1.tokens/offsets"][:].tobytes())
            file["outputs/layer1.tokens/offsets"].attrs["xxh3_128"] = sum_
    path = rename_to_fit(path)
    reader = FeatureStore(store.path)
    with pytest.warns(StoreWarning, match=reason) as told:
        assert reader.missing(RECIPE, keys_of(range(10)), ["pooled"]).all()
    assert path.name in str(told[0].message)


def test_links_out_of_the_store_are_refused_by_name(store, tmp_path):
    path = fill(store, range(10))
    outside = shutil.copy(path, tmp_path / path.name)
    path.unlink()
    path.symlink_to(outside)
    with pytest.warns(StoreWarning, match=f"{path.name}: is a link"):
        assert FeatureStore(store.path).missing(RECIPE, keys_of([1]), ["pooled"]).all()
    fill(store, range(10))
    folder = store.shard_folder(RECIPE).rename(tmp_path / "elsewhere")
    store.shard_folder(RECIPE).symlink_to(folder)
    with pytest.raises(StoreError, match="leads out of the store"):
        FeatureStore(store.path).missing(RECIPE, keys_of([1]), ["pooled"])
    store.shard_folder(RECIPE).unlink()
    whole = store.folder(RECIPE).rename(tmp_path / RECIPE.id)
    store.folder(RECIPE).symlink_to(whole)
    with pytest.warns(StoreWarning, match="is a link"):
        assert FeatureStore(store.path).recipes() == []
    with pytest.raises(StoreError, match="leads out of the store"):
        FeatureStore(store.path).read(RECIPE, keys_of([1]), "pooled")


def test_a_forged_index_gives_nobody_another_sample_s_features(store, monkeypatch):
    monkeypatch.setattr(index_module, "WORTH_KEEPING", 10)
    fill(store, range(40))
    assert holds(store, range(40))
    (path,) = store.path.rglob("*.idx")
    segment = index_module.read_segment(path.parent)
    for place in (np.roll(segment.place, 1), segment.place + np.uint64(1000), segment.place + (np.uint64(7) << np.uint64(32))):
        forged = index_module.Segment(segment.names, segment.high, segment.low, place, segment.longest)
        index_module.write_segment(path.parent, forged)
        assert not FeatureStore(store.path).missing(RECIPE, keys_of(range(40)), ["other"]).tolist().count(False)
        shuffled = np.random.default_rng(0).permutation(40)
        with contextlib.suppress(StoreError):
            assert holds(FeatureStore(store.path), shuffled)


def test_nothing_is_ever_unpickled():
    for path in (Path(__file__).parents[2] / "cache").glob("*.py"):
        code = path.read_text()
        assert "pickle" not in code.replace("unpickled", "")
        assert "allow_pickle=True" not in code


def test_a_recipe_of_a_hostile_store_is_bounded(store):
    fill(store, range(3))
    (store.folder(RECIPE) / "recipe.json").write_bytes(b"[" * 2**21)
    with pytest.warns(StoreWarning, match="is larger than"):
        assert store.recipes() == []
    (store.folder(RECIPE) / "recipe.json").write_bytes(b"[" * 100_000)
    with pytest.warns(StoreWarning, match="not a recipe"):
        assert store.recipes() == []
    with pytest.raises(StoreError, match="not a recipe"):
        Recipe.from_json('{"backbone": 3}')


def test_no_command_touches_what_a_link_leads_to(store, tmp_path):
    fill(store, range(10))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / f"{'0' * 32}.h5").write_text("precious")
    (mine / "notes").write_text("precious")
    (store.folder(RECIPE) / "leases").mkdir(exist_ok=True)
    (store.folder(RECIPE) / "leases" / "turn").symlink_to(mine / "notes")
    (store.path / "recipes" / ("a" * 32)).mkdir()
    (store.path / "recipes" / ("a" * 32) / "shards").symlink_to(mine)
    (store.path / "recipes" / ("b" * 32)).symlink_to(mine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        verify(store)
        collect(store, dry_run=False)
        with contextlib.suppress(StoreError):
            fill(FeatureStore(store.path, Budget(1, evict=True)), range(10, 20))
        with contextlib.suppress(StoreError):
            export_store(store, tmp_path / "out")
    assert sorted(path.read_text() for path in mine.iterdir()) == ["precious", "precious"]


def test_rot_is_not_given_a_new_checksum(store):
    path, other = fill(store, range(10)), fill(store, range(10, 20))
    write_table(store.path, Table("t", keys_of([*range(3), *range(10, 20)]), [str(number) for number in range(13)]))
    reader = FeatureStore(store.path)
    assert holds(reader, range(20))
    content = path.read_bytes()
    damaged = content.replace(features_of([1]).tobytes(), features_of([7]).tobytes())
    known = reader.shards(RECIPE)
    path.write_bytes(damaged)
    with pytest.warns(StoreWarning, match="damaged shard"):
        collect(reader, dry_run=False)
    assert {shard.path for shard in known} == {path, other}
    assert FeatureStore(store.path).missing(RECIPE, keys_of(range(20)), ["pooled"]).tolist() == [True] * 10 + [False] * 10
