"""The place of a store in a bucket: listings, small files pulled and published, shards opened by their heads.

What differs from a folder:

- An object is put whole, under the name of its content, so two writers of the same are harmless.
- Nobody but writers and upkeep changes a bucket: a reader that finds a damaged shard leaves it where it is, and remembers it.
- A listing may be older than what was put or removed; see `listings`.
"""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cache.atomic import remove, write_atomically
from cache.bucket.head import Head, fetch_head, head_of_file, load_head
from cache.bucket.listings import TOKEN, Listings
from cache.bucket.mirror import Mirror
from cache.bucket.remote import Found, MissingError, Remote, ShortError, for_each
from cache.bucket.shard import BucketShard
from cache.errors import StoreError
from cache.files import ChangedFileError, digest, read_small
from cache.layout import TRAILER, TRAILER_BYTES
from cache.memo import stamp_of
from cache.place import Opened, Place
from cache.recipe import Recipe
from cache.shard import DamagedShardError, Shard, open_shard, verify_shard

GRACE_SECONDS = 24 * 3600.0
"""For how long a shard is left alone by collection after it was put."""

_MOST_BYTES = {"VERSION": 64, "recipe.json": 2**20}
_MOST_TABLE_BYTES = 2**32
_KNOWN = {"VERSION", "recipes", "tables"}
_TRIES = 3


class BucketPlace(Place):
    """The files of a store in a bucket.

    Parameters
    ----------
    url
        Such as `s3://bucket/features`.
    options
        What fsspec's file system for such URLs takes.
    """

    shared = False

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.remote = Remote(url, options)
        self.name = self.remote.name
        self.mirror = Mirror.of_user()
        slug = re.sub(r"[^A-Za-z0-9]+", "-", self.name).strip("-")[-60:]
        self.root = self.mirror.root / f"{slug}-{hashlib.blake2b(self.remote.url.encode(), digest_size=6).hexdigest()}"
        self._listings = Listings(self.remote, self.root, self._forget)
        self._whole: dict[Path, Shard] = {}

    def is_foreign(self) -> bool:
        """Tell whether there are objects here that no store has."""
        return any(name not in _KNOWN for name in self.remote.list(""))

    def listed(self, folder: Path) -> Sequence[Path]:
        """Return what a listing says is in a folder, a few seconds ago or now."""
        return [folder / name for name in sorted(self._listings.of(self._key(folder)))]

    def size(self, path: Path) -> int:
        """Return an object's bytes, as the listing says."""
        found = self._found(path)
        return 0 if found is None else found.size

    def stamp(self, path: Path) -> str:
        """Return what the listing says of an object's content."""
        found = self._found(path)
        return "gone" if found is None else found.stamp

    def pull(self, *paths: Path) -> None:
        """Read small objects into the mirror."""
        for_each(self._pull, paths)

    def publish(self, path: Path) -> None:
        """Put a file of the mirror into the bucket, whole; a shard stays in the mirror as long as there is room."""
        key = self._key(path)
        try:
            self.remote.upload(path, key)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        self._listings.note_put(key, path.stat().st_size)
        if path.suffix == ".h5":
            remove(self._bad(path))
            remove(self._head(path))
            self._whole.pop(path, None)
            self.mirror.mark_used(path)
            self.mirror.trim()

    def whole(self, path: Path) -> Path:
        """Fetch a shard if it is not in the mirror."""
        if not path.is_file():
            self._fetch(path, self.size(path))
        return path

    def is_young(self, path: Path) -> bool:
        """Tell whether a shard was put within the last `GRACE_SECONDS`: jobs elsewhere have no lease that is seen here."""
        found = self._found(path)
        return found is not None and found.modified is not None and time.time() - found.modified < GRACE_SECONDS

    def remove(self, *paths: Path) -> None:
        """Remove objects, and what the mirror has of them."""
        folders = {self._key(path.parent) for path in paths if path.suffix == ".h5"}
        for_each(self._listings.announce_removal, sorted(folders))
        for_each(lambda path: self.remote.remove(self._key(path)), paths)
        for path in paths:
            self._listings.note_gone(self._key(path))
        for_each(self._listings.announce_removal, sorted(folders))

    def remove_recipe(self, folder: Path) -> None:
        """Remove what describes a recipe; the mirror's files are left to time."""
        for name in ("recipe.json", TOKEN):
            self.remote.remove(self._key(folder / name))
            self._listings.note_gone(self._key(folder / name))

    def open_shards(self, paths: Sequence[Path], recipe: Recipe) -> Opened:
        """Open shards by their heads, which are read from the bucket where the mirror lacks them."""

        def open_one(path: Path) -> tuple[Shard | None, StoreError | None]:
            try:
                return self._open(path, recipe), None
            except StoreError as error:
                return None, error

        return for_each(open_one, paths)

    def verify_shard(self, path: Path, recipe: Recipe) -> Shard:
        """Fetch a shard anew and check every byte."""
        try:
            self.mirror.drop(path)
            self._whole.pop(path, None)
            return verify_shard(self.whole(path), recipe)
        except DamagedShardError as error:
            raise DamagedShardError(self._tell(error)) from error

    def quarantine(self, path: Path, reason: str) -> str:
        """Copy a shard into its recipe's `quarantine` and remove it."""
        place = path.parent.parent / "quarantine"
        try:
            self.remote.copy(self._key(path), self._key(place / path.name))
            self.remote.write(self._key(place / f"{path.name}.reason"), f"{reason}\n".encode())
            self.remove(path)
        except MissingError:
            return "gone meanwhile"
        except StoreError as error:
            return f"left where it is: {error}"
        return f"moved to {self.name}/{self._key(place)}"

    def refuse(self, path: Path, reason: str) -> str:
        """Leave a damaged shard where it is, and remember not to use it."""
        with contextlib.suppress(StoreError):
            write_atomically(self._bad(path), self.stamp(path).encode(), b"\n", reason.encode())
        self._drop(path)
        return "left where it is, and not used; `headstart cache verify` sets it aside"

    def mark_used(self, recipe_folder: Path) -> None:
        """Do nothing: readers write nothing into a bucket."""

    # What a shard asks of its source

    def held(self, shard: BucketShard) -> Shard | None:
        """Return a shard as it is in the mirror, if it is there whole."""
        if not shard.path.is_file():
            self._whole.pop(shard.path, None)
            return None
        try:
            return self._open_here(shard)
        except ChangedFileError:
            return None
        except DamagedShardError:  # the mirror's fault
            self.mirror.drop(shard.path)
            return None

    def fetch(self, shard: BucketShard) -> Shard | None:
        """Bring a shard into the mirror whole; None where there is no room for one so large."""
        if not self.mirror.has_room_for(shard.size):
            return None
        try:
            self._fetch(shard.path, shard.size)
            return self._open_here(shard)
        except DamagedShardError as error:
            raise self.damaged(shard, str(error)) from error

    def read_ranges(self, shard: BucketShard, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read parts of an object."""
        key = self._key(shard.path)
        with self._changes(shard.path):
            return for_each(lambda part: self.remote.read(key, *part), ranges)

    def damaged(self, shard: BucketShard, reason: str) -> ChangedFileError:
        """Find out whether an object that is not what its head says was replaced meanwhile, or is damaged."""
        reason = reason if reason.startswith(self.name) else f"{self._called(shard.path)}: {reason}"
        self._listings.forget(self._key(shard.path.parent))
        self._drop(shard.path)
        try:
            now = self._open(shard.path, shard.recipe)
            if isinstance(now, BucketShard) and now.head.directory.to_bytes() == shard.head.directory.to_bytes():
                self.refuse(shard.path, reason)
        except DamagedShardError as error:
            self.refuse(shard.path, str(error))
        return ChangedFileError(reason)

    # Shards

    def _open_here(self, shard: BucketShard) -> Shard:
        """Open the file in the mirror, which is opened again only if it is another one."""
        known = self._whole.get(shard.path)
        if known is None or stamp_of(shard.path) != known.stamp:
            known = self._whole[shard.path] = open_shard(shard.path, shard.recipe)
            self.mirror.mark_used(shard.path)
        return known

    def _open(self, path: Path, recipe: Recipe) -> Shard:
        found = self._found(path)
        if found is None:
            raise ChangedFileError(f"{self._called(path)}: is gone")
        if (reason := self._known_damage(path, found)) is not None:
            raise DamagedShardError(reason)
        head = load_head(self._head(path), path.name, recipe)
        if head is None:
            head = self._make_head(path, found.size, recipe)
        directory = head.directory
        return BucketShard(path, f"{found.size}:{found.stamp}", directory.rows, directory.extents, recipe, head, self)

    def _known_damage(self, path: Path, found: Found) -> str | None:
        """Return why an object was refused before, if it is still the same."""
        try:
            stamp, _, reason = read_small(self._bad(path), 2**16).decode(errors="replace").partition("\n")
        except StoreError:
            return None
        return reason if stamp == found.stamp else None

    def _make_head(self, path: Path, size: int, recipe: Recipe) -> Head:
        with contextlib.suppress(ChangedFileError, DamagedShardError):  # the mirror's fault
            return head_of_file(open_shard(path, recipe), self._head(path))
        self.mirror.drop(path)
        try:
            with self._changes(path):
                head = fetch_head(self.remote, self._key(path), size, self._head(path), recipe)
            if head is not None:
                return head
            self._fetch(path, size)
            return head_of_file(open_shard(path, recipe), self._head(path))
        except DamagedShardError as error:
            self.mirror.drop(path)
            raise DamagedShardError(self._tell(error)) from error

    def _fetch(self, path: Path, size: int) -> None:
        """Bring a shard into the mirror, after its own checksum has been compared where it has one."""
        key = self._key(path)

        def fetch(descriptor: int) -> None:
            for attempt in range(_TRIES):
                self.remote.download(key, size, descriptor)
                trailer = os.pread(descriptor, TRAILER_BYTES, max(0, size - TRAILER_BYTES))
                if not trailer.startswith(TRAILER) or digest(descriptor, 0, size - TRAILER_BYTES) == trailer[len(TRAILER) :]:
                    return
                time.sleep(0.1 * 2**attempt)
            raise DamagedShardError(f"{self.name}/{key}: the checksum of the file does not hold")

        if not self.mirror.has_room_for(size):
            raise StoreError(
                f"{self._called(path)}: has {size:,} bytes, more than the mirror may hold; raise HEADSTART_MIRROR_SIZE"
            )
        with self._changes(path):
            self.mirror.hold(path, size, fetch)

    # Names

    def _key(self, path: Path) -> str:
        """Return the name in the bucket of a path under `root`."""
        relative = path.relative_to(self.root).as_posix()
        return "" if relative == "." else relative

    def _called(self, path: Path) -> str:
        return f"{self.name}/{self._key(path)}"

    def _head(self, path: Path) -> Path:
        return path.parent.parent / "heads" / f"{path.stem}.head"

    def _bad(self, path: Path) -> Path:
        """Return where it is noted that a shard was found damaged, and as what it was listed then."""
        return path.parent.parent / "damaged" / path.stem

    def _found(self, path: Path) -> Found | None:
        return self._listings.find(self._key(path))

    def _pull(self, path: Path) -> None:
        found = self._found(path) if path.parent.name == "tables" else None
        try:
            if (
                found is not None
                and path.is_file()
                and (path.stat().st_size, path.stat().st_mtime) == (found.size, found.modified)
            ):
                return
            content = self.remote.read_small(self._key(path), _MOST_BYTES.get(path.name, _MOST_TABLE_BYTES))
        except MissingError:
            remove(path)
            return
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)
        if found is not None and found.modified is not None:  # how old it is says whether its source is newer
            os.utime(path, (found.modified, found.modified))

    def _drop(self, path: Path) -> None:
        """Let go of what the mirror has of a shard."""
        self.mirror.drop(path)
        self._whole.pop(path, None)
        remove(self._head(path))

    def _forget(self, key: str) -> None:
        path = self.root / key
        self._drop(path) if path.suffix == ".h5" else remove(path)

    @contextlib.contextmanager
    def _changes(self, path: Path) -> Iterator[None]:
        """Have what a listing said be forgotten where the bucket says something else."""
        try:
            yield
        except MissingError as error:
            self._listings.note_gone(self._key(path))
            self._listings.forget(self._key(path.parent))
            raise ChangedFileError(f"{self._called(path)}: is gone") from error
        except ShortError as error:
            self._listings.forget(self._key(path.parent))
            raise ChangedFileError(str(error)) from error

    def _tell(self, error: StoreError) -> str:
        """Return an error's text with the store's name where it has the mirror's."""
        return str(error).replace(str(self.root), self.name)
