"""The one way a file comes into being: written under a temporary name, synced, renamed.

Durability is decided here and nowhere else. What the bytes mean is the caller's business.
"""

import os
import secrets
from pathlib import Path

from cache.errors import StoreError

TEMPORARY_PREFIX = ".writing-"


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Make `path` hold `content`, or leave things as they were.

    The bytes go to a temporary file in the same folder, which is synced and renamed over `path`; then the folder is
    synced. A reader sees the old file, or the new one, whole.

    Raises
    ------
    StoreError
        If the operating system refuses (full disk, no permission, ...), with the path and its reason.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: could not be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder to sync it
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
