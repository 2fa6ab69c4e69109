"""Where a store's files are: in a folder, or in a bucket of which a folder on this machine mirrors what has been looked at.

A store reads and writes files under `root` in either case. What a place adds is said here once: a listing tells what is
there, `pull` brings a small file to `root` before it is read, `publish` gives a file that was written there to everybody.
For a folder all of that is the file system; a bucket's is in `cache.bucket`.
"""

import contextlib
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cache.atomic import TEMPORARY_PREFIX, make_folder, remove, sync_folder, write_atomically
from cache.errors import StoreError
from cache.recipe import Recipe
from cache.shard import Shard, open_shards, verify_shard

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::[A-Za-z][A-Za-z0-9+.-]*)*://")
Opened = list[tuple[Shard | None, StoreError | None]]


def is_url(place: str | Path) -> bool:
    """Tell whether a store's place is a URL, such as `s3://bucket/features`, and no folder."""
    return isinstance(place, str) and _URL.match(place) is not None and not place.startswith(("file://", "local://"))


def absolute(place: str | Path, base: Path | None = None) -> str:
    """Return a store's place such that it says the same from anywhere: a URL as it is, a folder seen from `base`."""
    if is_url(place):
        return str(place)
    return str(((base or Path.cwd()) / _folder_of(place).expanduser()).resolve())


def find_place(place: str | Path, options: Mapping[str, Any] | None = None) -> "Place":
    """Return the place that a folder or URL names.

    Parameters
    ----------
    place
        A folder, a `file://` URL, or the URL of a bucket.
    options
        What fsspec's file system for such URLs takes (`storage_options`).

    Raises
    ------
    StoreError
        If there is no driver for such URLs.
    """
    if not is_url(place):
        return FolderPlace(_folder_of(place).absolute())
    from cache.bucket import BucketPlace

    return BucketPlace(str(place), options or {})


class Place(ABC):
    """The files of one store.

    Attributes
    ----------
    root
        The folder where files are read and written.
    name
        What the store is called in messages: its folder or URL.
    shared
        Whether other machines' jobs are seen in `leases`, so that what is not used can be told from what is.
    """

    root: Path
    name: str
    shared: bool

    @abstractmethod
    def is_foreign(self) -> bool:
        """Tell whether there is something here that is no store, where no VERSION is."""

    @abstractmethod
    def listed(self, folder: Path) -> Sequence[Path]:
        """Return what is in a folder, sorted; nothing where there is no such folder."""

    @abstractmethod
    def size(self, path: Path) -> int:
        """Return a listed file's bytes; 0 if it is gone."""

    @abstractmethod
    def stamp(self, path: Path) -> str:
        """Return what differs when a listed file is replaced; `gone` if it is gone."""

    @abstractmethod
    def pull(self, *paths: Path) -> None:
        """Bring small files under `root` up to date: each is there as it is in the store, or is not there."""

    @abstractmethod
    def publish(self, path: Path) -> None:
        """Give a file that was written under `root` to everybody; raises `StoreError` if that fails, and nobody sees it."""

    @abstractmethod
    def whole(self, path: Path) -> Path:
        """Return a shard's file on this machine; it is fetched where it is not here."""

    @abstractmethod
    def is_young(self, path: Path) -> bool:
        """Tell whether a shard may be in use by a job that nobody here can see, since it was written a short time ago."""

    @abstractmethod
    def remove(self, *paths: Path) -> None:
        """Remove files; raises `StoreError` if that is not allowed."""

    @abstractmethod
    def remove_recipe(self, folder: Path) -> None:
        """Remove what is left of a recipe that holds nothing; what is in quarantine stays."""

    @abstractmethod
    def open_shards(self, paths: Sequence[Path], recipe: Recipe) -> Opened:
        """Open shards of a recipe; see `cache.shard.open_shards`."""

    @abstractmethod
    def verify_shard(self, path: Path, recipe: Recipe) -> Shard:
        """Check every byte of a shard as the store has it; see `cache.shard.verify_shard`."""

    @abstractmethod
    def quarantine(self, path: Path, reason: str) -> str:
        """Set a damaged shard aside, with the reason beside it; return what became of it, for a message."""

    @abstractmethod
    def refuse(self, path: Path, reason: str) -> str:
        """Do what a reader may do about a damaged shard; return what became of it, for a message."""

    @abstractmethod
    def mark_used(self, recipe_folder: Path) -> None:
        """Leave a mark of when a recipe was last used, where that is possible."""


class FolderPlace(Place):
    """A folder on a disk, or on a network file system that keeps to POSIX's rules for renaming."""

    shared = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)

    def is_foreign(self) -> bool:
        """Tell whether the folder holds something, beside what another process has just begun to write."""
        if not self.root.exists():
            return False
        begun = self.root.is_dir() and all(path.name.startswith(TEMPORARY_PREFIX) for path in self.root.iterdir())
        return not begun and not (self.root / "VERSION").is_file()

    def listed(self, folder: Path) -> Sequence[Path]:
        """Return the entries of a folder, which is no link, nor in one."""
        try:
            if folder.is_symlink() or folder.parent.is_symlink():
                raise StoreError(f"{folder}: leads out of the store; links are not followed inside a store")
            return sorted(Path(entry.path) for entry in os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"{folder}: cannot be listed: {error.strerror or error}") from error

    def size(self, path: Path) -> int:
        """Return a file's bytes."""
        try:
            return path.lstat().st_size
        except OSError:
            return 0

    def stamp(self, path: Path) -> str:
        """Return a file's size, time and inode."""
        try:
            status = path.lstat()
        except OSError:
            return "gone"
        return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"

    def pull(self, *paths: Path) -> None:
        """Do nothing: files are where they are."""

    def publish(self, path: Path) -> None:
        """Do nothing: a file that was renamed to its name is everybody's."""

    def whole(self, path: Path) -> Path:
        """Return the file itself."""
        return path

    def is_young(self, path: Path) -> bool:
        """Return False: leases tell which jobs are at work."""
        return False

    def remove(self, *paths: Path) -> None:
        """Remove files, and make that durable."""
        for path in paths:
            remove(path)
        for folder in {path.parent for path in paths}:
            with contextlib.suppress(FileNotFoundError):
                sync_folder(folder)

    def remove_recipe(self, folder: Path) -> None:
        """Remove a recipe's files."""
        (folder / "recipe.json").unlink(missing_ok=True)
        for part in ("index", "shards", "leases"):
            shutil.rmtree(folder / part, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.rmdir()

    def open_shards(self, paths: Sequence[Path], recipe: Recipe) -> Opened:
        """Open shards where they are."""
        return open_shards(paths, recipe)

    def verify_shard(self, path: Path, recipe: Recipe) -> Shard:
        """Check every byte where it is."""
        return verify_shard(path, recipe)

    def quarantine(self, path: Path, reason: str) -> str:
        """Move a shard into its recipe's `quarantine`."""
        place = path.parent.parent / "quarantine"
        try:
            make_folder(place)
            path.replace(place / path.name)
            write_atomically(place / f"{path.name}.reason", f"{reason}\n".encode())
        except FileNotFoundError:
            return "gone meanwhile"
        except (StoreError, OSError):
            return "left where it is, which is not writable"
        return f"moved to {place}"

    def refuse(self, path: Path, reason: str) -> str:
        """Move a shard into quarantine."""
        return self.quarantine(path, reason)

    def mark_used(self, recipe_folder: Path) -> None:
        """Set the time of the recipe's description."""
        with contextlib.suppress(OSError):
            os.utime(recipe_folder / "recipe.json")


def _folder_of(place: str | Path) -> Path:
    """Return the folder that a path or a `file://` URL names."""
    if isinstance(place, str) and (match := re.match(r"(?:file|local)://", place)):
        return Path(place[match.end() :])
    return Path(place)
