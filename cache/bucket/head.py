"""A shard's head: its keys and its directory, kept in the mirror, so that rows are found without having the shard.

A head comes from the end of the object, or from the whole file where that has no directory. It is small (16 bytes a row and 8
a block of 64 KiB), so all heads of a recipe are kept, whatever room whole shards have.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from cache import files
from cache.atomic import write_atomically
from cache.bucket.remote import Remote
from cache.directory import FOOTER_BYTES, Directory, bytes_before, read_directory
from cache.errors import StoreError
from cache.keys import KEY_BYTES
from cache.layout import TRAILER, TRAILER_BYTES, check_directory
from cache.memo import stamp_of
from cache.recipe import Recipe
from cache.shard import DamagedShardError, Shard

FIRST_READ = 2**18
"""Bytes asked for at an object's end: the directory, and the keys of some ten thousand rows."""

_MOST_HEAD = 2**36
_NOT_ITS_OWN = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, eq=False)
class Head:
    """A shard's directory, and the file in the mirror that begins with its keys."""

    directory: Directory
    path: Path
    stamp: str

    @property
    def keys(self) -> np.ndarray:
        """`[n, 16]` uint8, mapped from the mirror."""
        return files.MAPS.view(self.path, self.stamp, 0, (self.directory.rows, KEY_BYTES), np.dtype(np.uint8))

    @property
    def has_blocks(self) -> bool:
        """Whether parts of the shard can be checked."""
        return len(self.directory.blocks) > 0


def load_head(path: Path, name: str, recipe: Recipe) -> Head | None:
    """Load a head from the mirror; None if there is none that holds."""
    try:
        with files.opened(path) as descriptor:
            stamp = stamp_of(descriptor)
            size = int(stamp.partition(":")[0])
            if not FOOTER_BYTES < size <= _MOST_HEAD:
                return None
            with open(descriptor, "rb", closefd=False) as file:
                file.seek(size - FOOTER_BYTES)
                before = bytes_before(file.read(FOOTER_BYTES))
                if before is None or before + FOOTER_BYTES > size:
                    return None
                file.seek(size - FOOTER_BYTES - before)
                directory = read_directory(file.read(before + FOOTER_BYTES))
            _check(directory, name, recipe)
            keys_end = directory.rows * KEY_BYTES
            if keys_end + before + FOOTER_BYTES != size:
                return None
            if files.digest(descriptor, 0, keys_end).hex() != directory.sums["keys"]:
                return None
    except (StoreError, *_NOT_ITS_OWN):
        return None
    return Head(directory, path, stamp)


def fetch_head(remote: Remote, name: str, size: int, path: Path, recipe: Recipe) -> Head | None:
    """Read the head of an object of a known size into the mirror; None if it has no directory.

    Raises
    ------
    DamagedShardError
        If what the object ends in does not hold.
    StoreError
        If it cannot be read.
    """
    start = max(0, size - FIRST_READ)
    if size < TRAILER_BYTES + FOOTER_BYTES:
        raise DamagedShardError(f"{remote.name}/{name}: is too short for a shard")
    tail = remote.read(name, start, size)
    trailer, footer = tail[-TRAILER_BYTES:], tail[-TRAILER_BYTES - FOOTER_BYTES : -TRAILER_BYTES]
    before = bytes_before(footer)
    if not trailer.startswith(TRAILER) or before is None:
        return None
    begin = size - TRAILER_BYTES - FOOTER_BYTES - before
    try:
        if begin < 0:
            raise ValueError("its directory is longer than the file")
        content = _part(remote, name, tail, start, begin, size - TRAILER_BYTES)
        directory = read_directory(content)
        if directory.length != begin:
            raise ValueError("its directory is that of a file of another length")
        _check(directory, name.rpartition("/")[2], recipe)
        extent = directory.extents["keys"]
        keys = _part(remote, name, tail, start, extent.offset, extent.offset + extent.size)
        if xxhash.xxh3_128_hexdigest(keys) != directory.sums["keys"]:
            raise ValueError("checksum of keys does not hold")
    except _NOT_ITS_OWN as error:
        raise DamagedShardError(f"{remote.name}/{name}: {error}") from error
    return _keep(path, keys, directory)


def head_of_file(shard: Shard, path: Path) -> Head:
    """Make the head of a shard that is here whole and has been checked."""
    size = shard.size
    with files.opened(shard.path, shard.stamp) as descriptor, open(descriptor, "rb", closefd=False) as file:
        file.seek(max(0, size - TRAILER_BYTES - FOOTER_BYTES))
        end = file.read()
        before = bytes_before(end[:FOOTER_BYTES]) if end[FOOTER_BYTES:].startswith(TRAILER) else None
        keys = np.ascontiguousarray(shard.keys).tobytes()
        if before is not None and before + FOOTER_BYTES + TRAILER_BYTES <= size:
            file.seek(size - TRAILER_BYTES - FOOTER_BYTES - before)
            directory = read_directory(file.read(before + FOOTER_BYTES))
        else:
            directory = Directory(shard.rows, shard.extents, {"keys": xxhash.xxh3_128_hexdigest(keys)}, size)
    return _keep(path, keys, directory)


def _check(directory: Directory, name: str, recipe: Recipe) -> None:
    """See that a directory is that of a shard; one made from a file without blocks was checked with the file."""
    if len(directory.blocks):
        check_directory(directory, name, recipe)
    elif directory.sums.keys() != {"keys"} or directory.extents["keys"].shape != (directory.rows, KEY_BYTES):
        raise ValueError("its directory lacks blocks")


def _part(remote: Remote, name: str, tail: bytes, start: int, first: int, last: int) -> bytes:
    """Return bytes of an object, out of its tail where they are in it."""
    return tail[first - start : last - start] if first >= start else remote.read(name, first, last)


def _keep(path: Path, keys: bytes, directory: Directory) -> Head:
    write_atomically(path, keys, directory.to_bytes())
    return Head(directory, path, stamp_of(path))
