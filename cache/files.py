"""Reading bytes of files that do not change, with a bounded number of them open.

Runs of bytes are read, so that a medium that fails gives an error with the path; scattered rows come through memory maps.
"""

import errno
import mmap
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xxhash

from cache.errors import StoreError
from cache.memo import stamp_of

MOST_MAPS = 128
"""Memory maps kept open at a time; each holds a file descriptor."""

ROWS_HELD = 512
"""Scattered rows taken from a map before its pages are let go; the kernel maps up to 64 KiB around each."""

_BLOCK = 2**23


class ChangedFileError(StoreError):
    """A file is not the one it was when its content was checked, or is gone."""


@contextmanager
def opened(path: Path, stamp: str | None = None) -> Iterator[int]:
    """Open a regular file for reading; give its descriptor.

    Parameters
    ----------
    path
        The file; a link is refused.
    stamp
        What `stamp_of` said when the file was checked; None to take it as it is.

    Raises
    ------
    ChangedFileError
        If the file is gone or its stamp is another.
    StoreError
        If it is a link or no file, or the operating system refuses to open or read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as error:
        raise ChangedFileError(f"{path}: is gone") from error
    except OSError as error:
        raise told(path, error) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StoreError(f"{path}: is not a file")
        if stamp is not None and stamp_of(descriptor) != stamp:
            raise ChangedFileError(f"{path}: changed while it was in use")
        yield descriptor
    except OSError as error:
        raise told(path, error) from error
    finally:
        os.close(descriptor)


def read_into(path: Path, stamp: str, offset: int, array: np.ndarray) -> None:
    """Fill a contiguous array with the bytes of a file from `offset` on."""
    buffer = array.reshape(-1).view(np.uint8).data
    with opened(path, stamp) as descriptor:
        while buffer:
            got = os.preadv(descriptor, [buffer], offset)
            if not got:
                raise ChangedFileError(f"{path}: ends too early")
            offset, buffer = offset + got, buffer[got:]


def read_small(path: Path, most: int) -> bytes:
    """Read a whole file that has no reason to be larger than `most` bytes."""
    with opened(path) as descriptor:
        content = b"".join(iter_blocks(descriptor, most + 1))
    if len(content) > most:
        raise StoreError(f"{path}: is larger than {most:,} bytes, so it is not what its name says")
    return content


def digest(descriptor: int, start: int, stop: int) -> bytes:
    """Return the XXH3-128 of a file's bytes from `start` to `stop`, in bounded memory."""
    sum_, at, buffer = xxhash.xxh3_128(), start, bytearray(_BLOCK)
    view = memoryview(buffer)
    while at < stop:
        got = os.preadv(descriptor, [view[: min(_BLOCK, stop - at)]], at)
        if not got:
            raise OSError(errno.EIO, "the file ends too early")
        sum_.update(view[:got])
        at += got
    return sum_.digest()


def iter_blocks(descriptor: int, most: int) -> Iterator[bytes]:
    """Yield a file's bytes from its beginning, `most` of them."""
    at = 0
    while at < most and (block := os.pread(descriptor, min(_BLOCK, most - at), at)):
        yield block
        at += len(block)


class _Map:
    """A file's memory map, and how many scattered rows were taken from it since its pages were last given back."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        self._taken = 0

    def note_taken(self, rows: int) -> None:
        """Give back the pages once enough rows were taken; they stay in the page cache, and come back when touched."""
        self._taken += rows
        if self._taken >= ROWS_HELD and hasattr(mmap, "MADV_DONTNEED"):
            self.content.madvise(mmap.MADV_DONTNEED)
            self._taken = 0


class Maps:
    """Memory maps of the files used last. An array over one keeps it alive after it has been dropped from here."""

    def __init__(self, most: int = MOST_MAPS) -> None:
        self.most = most
        self._maps: OrderedDict[tuple[Path, str], _Map] = OrderedDict()
        self._lock = threading.Lock()

    def view(self, path: Path, stamp: str, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return a read-only array over a part of a file.

        Raises
        ------
        ChangedFileError
            If the file is gone, changed or shorter than it was.
        """
        if 0 in shape:
            return np.empty(shape, dtype)
        with self._lock:
            place = (path, stamp)
            known = self._maps.pop(place, None)
            if known is None:
                known = self._map(path, stamp)
            elif known.content.size() != len(known.content):  # truncated under us: touching what is gone would end the process
                raise ChangedFileError(f"{path}: changed while it was in use")
            self._maps[place] = known
            while len(self._maps) > self.most:
                self._maps.popitem(last=False)
        return np.frombuffer(known.content, dtype, count=int(np.prod(shape)), offset=offset).reshape(shape)

    def take(
        self, path: Path, stamp: str, offset: int, shape: tuple[int, ...], dtype: np.dtype, rows: np.ndarray
    ) -> np.ndarray:
        """Return a copy of rows of such an array; few pages count as this process's, however many it takes.

        Raises
        ------
        ChangedFileError
            As `view` does.
        """
        view, found = self.view(path, stamp, offset, shape, dtype), np.empty((len(rows), *shape[1:]), dtype)
        for start in range(0, len(rows), ROWS_HELD):
            part = rows[start : start + ROWS_HELD]
            found[start : start + len(part)] = view[part]
            with self._lock:
                if (known := self._maps.get((path, stamp))) is not None:
                    known.note_taken(len(part))
        return found

    def _map(self, path: Path, stamp: str) -> _Map:
        try:
            with opened(path, stamp) as descriptor:
                return _Map(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
        except ChangedFileError:
            raise
        except StoreError as error:
            if not self._maps or getattr(error.__cause__, "errno", None) not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise
            self._maps.clear()  # make room and try once more
            return self._map(path, stamp)


MAPS = Maps()
"""Shared by all stores of this process, since descriptors are the process's."""


def told(path: Path, error: OSError) -> StoreError:
    """Put an error of the operating system in one line, with the way out."""
    reason = error.strerror or str(error)
    hints = {
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
        errno.ENFILE: "raise the system's limit of open files",
        errno.ELOOP: "links are not followed inside a store",
        errno.EIO: "the medium fails; nothing was changed",
        errno.EACCES: "ask its owner for permission",
    }
    hint = hints.get(error.errno or 0)
    return StoreError(f"{path}: cannot be read: {reason}{f'; {hint}' if hint else ''}")
