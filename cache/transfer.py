"""Features from one store to another, by copying shard files, with every byte checked on the way in.

The other side is a folder or bucket that is itself a store, or a tar file of one (`.tar`, or compressed `.tar.gz` for cold
storage).
"""

import contextlib
import lzma
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cache.atomic import make_folder, sync_folder, write_atomically
from cache.errors import StoreError
from cache.files import read_small
from cache.place import is_url
from cache.recipe import Recipe
from cache.store import FeatureStore
from cache.table import read_table

_MEMBER = re.compile(r"VERSION|recipes/[0-9a-f]{32}/(recipe\.json|shards/[0-9a-f]{32}\.h5)|tables/[A-Za-z0-9_.-]+\.parquet")
_DERIVED = re.compile(r"recipes/[0-9a-f]{32}/(index|leases|quarantine)/[A-Za-z0-9_.-]+")
_MOST_BYTES = 2**40
OnFile = Callable[[int], None]


@dataclass
class Transfer:
    """What was copied: shards, tables, bytes, how many shards were there already, and file -> reason for what was refused."""

    recipes: list[str] = field(default_factory=list)
    shards: int = 0
    present: int = 0
    tables: int = 0
    bytes: int = 0
    refused: dict[str, str] = field(default_factory=dict)


def export_store(
    store: FeatureStore,
    destination: str | Path,
    recipes: Sequence[Recipe] | None = None,
    tables: Sequence[Path] | None = None,
    on_file: OnFile | None = None,
) -> Transfer:
    """Copy recipes with their shards, and tables, into a folder or a tar file.

    Parameters
    ----------
    store
        Where from.
    destination
        A folder or URL that is a store or becomes one; or a file ending in `.tar`, `.tar.gz` or `.tgz`, which must not exist.
    recipes, tables
        Which of them; None for all.
    on_file
        Called after every file with its size in bytes.

    Raises
    ------
    StoreError
        If the destination cannot be written or is something else.
    """
    chosen = store.recipes() if recipes is None else list(recipes)
    named = store.tables() if tables is None else list(tables)
    if is_url(destination) or not _is_tar(Path(destination)):
        return _copy(store, FeatureStore(destination), chosen, named, on_file)
    destination = Path(destination)
    if destination.exists():
        raise StoreError(f"{destination}: exists; name a new file")
    with tempfile.TemporaryDirectory(dir=_nearest_folder(destination), prefix=".export-") as folder:
        whole = FeatureStore(Path(folder) / "store")
        transfer = _copy(store, whole, chosen, named, on_file)
        archive = Path(folder) / "store.tar"
        try:
            with tarfile.open(archive, "w") if destination.suffix == ".tar" else tarfile.open(archive, "w:gz") as tar:
                for path in sorted(whole.path.rglob("*")):
                    name = path.relative_to(whole.path).as_posix()
                    if _MEMBER.fullmatch(name):
                        tar.add(path, name, recursive=False)
            make_folder(destination.parent)
            archive.replace(destination)
            sync_folder(destination.parent)
        except OSError as error:
            raise StoreError(f"{destination}: could not be written: {error.strerror or error}; nothing was changed") from error
    return transfer


def import_store(store: FeatureStore, source: str | Path, on_file: OnFile | None = None) -> Transfer:
    """Add everything that another store, or a tar file of one, holds; what does not hold is refused and told.

    Parameters
    ----------
    store
        Where to.
    source
        A store's folder or URL, or a tar file of one.
    on_file
        Called after every file with its size in bytes.

    Raises
    ------
    StoreError
        If the source is no store, or the store cannot be written.
    """
    with contextlib.ExitStack() as stack:
        if not is_url(source) and Path(source).is_file():
            folder = Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(dir=_nearest_folder(store.path / "VERSION"), prefix=".writing-import-")
                )
            )
            _unpack(Path(source), folder)
            source = folder
        other = FeatureStore(source)
        if not other.exists():
            raise StoreError(f"{other.name}: is not a feature store (it has no VERSION)")
        return _copy(other, store, other.recipes(), other.tables(), on_file)


def _copy(
    store: FeatureStore, into: FeatureStore, recipes: Iterable[Recipe], tables: Iterable[Path], on_file: OnFile | None
) -> Transfer:
    transfer = Transfer()
    for recipe in recipes:
        into.prepare(recipe)
        transfer.recipes.append(recipe.id)
        there = {path.name for path in into.shard_files(into.folder(recipe))}
        for path in store.shard_files(store.folder(recipe)):
            place = into.shard_folder(recipe) / path.name
            if path.name in there and into.is_sound(place, recipe):
                transfer.present += 1
            else:
                with _told(transfer, path):
                    store.place.verify_shard(path, recipe)
                    transfer.bytes += _copy_file(store.place.whole(path), place, into)
                    transfer.shards += 1
            if on_file is not None:
                on_file(store.place.size(path))
    for path in tables:
        with _told(transfer, path):
            read_table(path)
            place = into.path / "tables" / path.name
            into.place.pull(place)
            if not _is_readable(place):
                transfer.bytes += _copy_file(path, place, into)
                transfer.tables += 1
    return transfer


def _is_readable(table: Path) -> bool:
    try:
        read_table(table)
    except StoreError:
        return False
    return True


@contextlib.contextmanager
def _told(transfer: Transfer, path: Path) -> Iterator[None]:
    """Have a file that does not hold refused, and everything else go on."""
    try:
        yield
    except _NotWrittenError:
        raise
    except StoreError as error:
        transfer.refused[str(path)] = str(error)


class _NotWrittenError(StoreError):
    """The destination's fault, which no other file will mend."""


def _copy_file(path: Path, place: Path, into: FeatureStore) -> int:
    content = read_small(path, path.stat().st_size)
    try:
        write_atomically(place, content)
        into.place.publish(place)
    except StoreError as error:
        raise _NotWrittenError(str(error)) from error
    return len(content)


def _is_tar(path: Path) -> bool:
    return path.name.endswith((".tar", ".tar.gz", ".tgz"))


def _nearest_folder(path: Path) -> Path:
    """Return the nearest folder above a path that exists, so that what is moved there later stays on one file system."""
    return next(folder for folder in path.absolute().parents if folder.is_dir())


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the files a store has, and refuse an archive that holds anything else."""
    try:
        with tarfile.open(archive, "r:*") as tar:
            total = 0
            for member in tar:
                name = member.name.removeprefix("./")
                if member.isdir() or (member.isreg() and _DERIVED.fullmatch(name)):
                    continue
                if not _MEMBER.fullmatch(name) or not member.isreg():
                    raise StoreError(f"{archive}: holds {member.name!r}, which is no file of a store; nothing was imported")
                total += member.size
                if total > _MOST_BYTES or member.size > shutil.disk_usage(folder).free:
                    raise StoreError(f"{archive}: is too large to unpack beside the store; nothing was imported")
                place = folder / name
                place.parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                assert content is not None
                with content, open(place, "xb") as file:
                    shutil.copyfileobj(content, file, 2**20)
            while tar.fileobj is not None and tar.fileobj.read(2**20):
                pass  # compressed files hold their checksum at the end, behind the archive's own
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise StoreError(f"{archive}: cannot be unpacked: {error}; nothing was imported") from error
