import io
import tarfile

import pytest

from cache import FeatureStore, StoreError, Table, write_table
from cache.transfer import export_store, import_store
from tests.cache.conftest import OTHER, RECIPE, fill, holds, keys_of


@pytest.fixture
def full(store):
    fill(store, range(20))
    fill(store, range(20, 30))
    fill(store, range(5), OTHER)
    write_table(store.path, Table("reviews", keys_of(range(20)), [str(number) for number in range(20)]))
    return store


@pytest.mark.parametrize("name", ["folder", "archive.tar", "archive.tar.gz"])
def test_what_is_exported_can_be_imported_elsewhere(full, tmp_path, name):
    out = export_store(full, tmp_path / name)
    assert (out.shards, out.tables, len(out.recipes), out.refused) == (3, 1, 2, {})
    other = FeatureStore(tmp_path / "other")
    fill(other, range(100, 110))
    came = import_store(other, tmp_path / name)
    assert (came.shards, came.present, came.tables, came.refused) == (3, 0, 1, {})
    assert holds(other, [*range(30), *range(100, 110)])
    assert holds(other, range(5), OTHER)
    assert import_store(other, tmp_path / name).present == 3
    assert not list(tmp_path.rglob(".writing-*")) + list(tmp_path.rglob(".export-*"))


def test_only_what_is_asked_for_is_exported(full, tmp_path):
    assert export_store(full, tmp_path / "one", [OTHER], []).recipes == [OTHER.id]
    assert FeatureStore(tmp_path / "one").recipes() == [OTHER]


def test_a_damaged_shard_is_refused_and_the_rest_comes_through(full, tmp_path):
    path = next(iter(full.shard_folder(OTHER).glob("*.h5")))
    path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    other = FeatureStore(tmp_path / "other")
    came = import_store(other, full.path)
    assert list(came.refused) == [str(path)]
    assert "checksum" in came.refused[str(path)]
    assert came.shards == 2
    assert holds(other, range(30))


def test_an_existing_archive_is_not_overwritten(full, tmp_path):
    (tmp_path / "a.tar").touch()
    with pytest.raises(StoreError, match="exists; name a new file"):
        export_store(full, tmp_path / "a.tar")


@pytest.mark.parametrize(
    "name", ["../evil.h5", "/etc/evil", f"recipes/{RECIPE.id}/../../x", "recipes/short/recipe.json", "tables/a/b"]
)
def test_an_archive_with_paths_out_of_the_store_is_refused(store, tmp_path, name):
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("VERSION"), io.BytesIO())
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(StoreError, match="is no file of a store; nothing was imported"):
        import_store(store, tmp_path / "evil.tar")
    assert not store.path.exists()


def test_an_archive_with_a_link_or_broken_off_is_refused(full, tmp_path):
    link = tarfile.TarInfo("VERSION")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        tar.addfile(link)
    other = FeatureStore(tmp_path / "other")
    with pytest.raises(StoreError, match="is no file of a store"):
        import_store(other, tmp_path / "link.tar")
    export_store(full, tmp_path / "whole.tar.gz")
    (tmp_path / "half.tar.gz").write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:500])
    with pytest.raises(StoreError, match="cannot be unpacked"):
        import_store(other, tmp_path / "half.tar.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="is not a feature store"):
        import_store(other, tmp_path / "empty")
    damaged = bytearray((tmp_path / "whole.tar.gz").read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (tmp_path / "damaged.tar.gz").write_bytes(damaged)
    assert _refusal(other, tmp_path / "damaged.tar.gz")


def _refusal(store, archive):
    """Return what an import has to say against an archive: against all of it, or against a file in it."""
    try:
        return import_store(store, archive).refused
    except StoreError as error:
        return str(error)


def test_an_archive_is_written_into_a_folder_that_is_not_there_yet(full, tmp_path):
    export_store(full, tmp_path / "new" / "deep" / "whole.tar")
    assert import_store(FeatureStore(tmp_path / "other"), tmp_path / "new" / "deep" / "whole.tar").shards == 3


def test_a_damaged_shard_in_the_destination_is_replaced(full, tmp_path):
    export_store(full, tmp_path / "backup")
    path = next(iter(full.shard_folder(RECIPE).glob("*.h5")))
    path.write_bytes(b"")
    (table,) = (full.path / "tables").iterdir()
    table.write_bytes(b"PAR1")
    came = import_store(full, tmp_path / "backup")
    assert (came.shards, came.present, came.tables) == (1, 2, 1)
    assert holds(FeatureStore(full.path), range(30))


def test_a_store_packed_by_tar_itself_can_be_imported(full, tmp_path):
    with full.lease(RECIPE), tarfile.open(tmp_path / "plain.tar", "w") as tar:
        tar.add(full.path, "./")
    assert import_store(FeatureStore(tmp_path / "other"), tmp_path / "plain.tar").shards == 3
