"""The one way a file comes into being: written under a temporary name, synced, renamed.

Durability is decided here and nowhere else. What the bytes mean is the caller's business.
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cache.errors import StoreError
from cache.process import is_alive, this_process

TEMPORARY_PREFIX = ".writing-"
_WRITE_AT_ONCE = 2**26


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Make `path` hold the parts one after another, or leave things as they were.

    The bytes go to a temporary file in the same folder, which is synced and renamed over `path`; then the folder is
    synced, and so is every folder above it that had to be made. A reader sees the old file, or the new one, whole; and
    once this returns, a loss of power cannot take the file away.

    Raises
    ------
    StoreError
        If the operating system refuses (full disk, no permission, ...), with the path and its reason.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{this_process()}-{secrets.token_hex(4)}"
    try:
        make_folder(path.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            _write(descriptor, parts)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise StoreError(f"{path}: could not be written: {error.strerror or error}; nothing was changed") from error
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each entered durably in its parent."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make what was entered into a folder, or removed from it, durable."""
    if os.name == "nt":  # Windows cannot open a folder to sync it
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync names by themselves
            raise
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file if it is there; raises `StoreError` if that is not allowed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: could not be removed: {error.strerror or error}") from error


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove what writers that died in mid-write left in a folder; return what was removed."""
    removed = []
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        writer = path.name.removeprefix(TEMPORARY_PREFIX).rpartition("-")[0]
        with contextlib.suppress(OSError):
            if not is_alive(writer, path.stat().st_mtime):
                path.unlink()
                removed.append(path)
    return removed


def _write(descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
    for part in parts:
        rest = memoryview(part).cast("B")
        while rest:
            rest = rest[os.write(descriptor, rest[:_WRITE_AT_ONCE]) :]
