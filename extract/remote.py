"""Files by path or URL, through fsspec: listed, opened, and read whole with patience.

Local paths need nothing; `s3://`, `https://` and the like need the library that fsspec names: `pip install 'headstart[cloud]'`.
"""

import itertools
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from cache import HeadstartError
from extract.errors import NoSuchSourceError, SourceError

SCHEMES = ("file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "http", "https", "memory")
"""What is read. fsspec knows more, some of it other programs or other machines' shells; data should not choose those."""

ATTEMPTS = 4
FIRST_PAUSE = 0.5
READERS = 16
_PART = 2**20
_FINAL = (HeadstartError, FileNotFoundError, PermissionError, IsADirectoryError, ImportError, ValueError)
_T = TypeVar("_T")


def is_url(path: str) -> bool:
    """Tell whether a text is a URL and not a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


def file_system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL or a path, and the path there.

    Raises
    ------
    NoSuchSourceError
        If the scheme is none of `SCHEMES`.
    SourceError
        If its library is not installed.
    """
    import fsspec

    scheme = url.partition("://")[0].lower() if is_url(url) else "file"
    if scheme not in SCHEMES or "::" in url:
        raise NoSuchSourceError(f"{url}: URLs of this kind are not read; schemes are {', '.join(SCHEMES)}")
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise SourceError(f"{url}: {scheme}:// needs a library: {error}; pip install 'headstart[cloud]'") from error


def expand(pattern: str, endings: Sequence[str] = ()) -> list[str]:
    """Return the files that a path or URL stands for, in order.

    Parameters
    ----------
    pattern
        May hold braces, `{000..099}` or `{a,b}`, and then the wildcards of a shell; or be a folder.
    endings
        Of the files that are taken from a folder and those below it.

    Raises
    ------
    NoSuchSourceError
        If there is none.
    SourceError
        If the place cannot be listed.
    """
    found = []
    for one in expand_braces(pattern):
        try:
            found += patiently(partial(_matching, one, tuple(endings)))
        except OSError as error:
            raise SourceError(f"{one}: cannot be listed: {first_line(error)}") from error
    if not found:
        raise NoSuchSourceError(f"{pattern}: there are no such files")
    missing = [file for file in found if not is_url(file) and not os.path.exists(file)]
    if missing and len(found) > 1:
        raise NoSuchSourceError(f"{pattern}: {len(missing):,} of these {len(found):,} files are not there, {missing[0]} first")
    return found


def _matching(pattern: str, endings: tuple[str, ...]) -> list[str]:
    system, path = file_system(pattern)
    if any(sign in path for sign in "*?["):
        files = system.glob(path)
    elif endings and not path.lower().endswith(endings) and system.isdir(path):
        files = [file for file in system.find(path) if file.lower().endswith(endings)]
    else:
        return [pattern]
    return [str(system.unstrip_protocol(file)) if is_url(pattern) else file for file in sorted(files)]


def expand_braces(pattern: str) -> list[str]:
    """Expand `{000..099}` to numbers of that many digits, and `{a,b}` to both."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    span = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if span is not None:
        first, last = int(span[1]), int(span[2])
        if last < first or last - first >= 10**7:
            raise NoSuchSourceError(f"{pattern}: {{{match[1]}}} is no range")
        values: Sequence[str] = [f"{number:0{len(span[1])}d}" for number in range(first, last + 1)]
    elif "," in match[1]:
        values = match[1].split(",")
    else:
        raise NoSuchSourceError(f"{pattern}: {{{match[1]}}} is neither a range such as {{000..099}} nor a list such as {{a,b}}")
    before, after = pattern[: match.start()], expand_braces(pattern[match.end() :])
    return [f"{before}{value}{rest}" for value, rest in itertools.product(values, after)]


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """Open a file for reading, by its path or URL.

    Raises
    ------
    OSError
        If it cannot be opened, now or after a few attempts.
    """
    if not is_url(path):
        with open(path, "rb") as file:
            yield file
        return
    system, place = file_system(path)
    with patiently(lambda: system.open(place, "rb")) as file:
        yield file


@contextmanager
def telling_of(path: str) -> Iterator[None]:
    """Make what fails while a file is read a `SourceError` that names it; libraries of buckets have errors of their own."""
    try:
        yield
    except HeadstartError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not is_url(path):
            raise
        raise SourceError(f"{path}: cannot be read: {first_line(error)}") from error


def read_file(url: str, most: int) -> bytes:
    """Return a file's bytes by its URL; raises `OSError` if there are more than `most`, or it cannot be read.

    What fails is tried again after a pause, but for files that are not there or not allowed.
    """

    def read() -> bytes:
        system, place = file_system(url)
        # asked for the content at once: were a web server asked for the size, fsspec would take any failure for "not there"
        how = {"block_size": 0, "size": 1} if place.startswith(("http://", "https://")) else {}
        content = bytearray()
        with system.open(place, "rb", **how) as file:
            while part := file.read(_PART):
                content += part
                if len(content) > most:
                    raise _TooLargeError(f"the file is larger than {most >> 20} MiB")
        return bytes(content)

    return patiently(read)


def read_files(urls: Sequence[str], most: int) -> Iterator[bytes | OSError]:
    """Give every file's bytes or why it cannot be read, in order; several are read at a time."""

    def read(url: str) -> bytes | OSError:
        try:
            return read_file(url, most)
        except OSError as error:
            return error
        except Exception as error:  # of no bad URL should a run die, whatever its library makes of it
            return OSError(first_line(error))

    with ThreadPoolExecutor(min(READERS, max(1, len(urls))), thread_name_prefix="read") as pool:
        yield from pool.map(read, urls)


class UnreachableError(OSError):
    """Something failed for a reason that might have passed, and failed again."""


class _TooLargeError(PermissionError):
    """A file is larger than it may be; trying again would not help."""


def patiently(work: Callable[[], _T], sleep: Callable[[float], None] = time.sleep) -> _T:
    """Do something over a network, again after a pause where it fails for a reason that may pass.

    Raises
    ------
    UnreachableError
        With the last reason.
    OSError
        At once, if there is no such file or it is not allowed.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work()
        except _FINAL:
            raise
        except Exception as error:  # OSError, and whatever the libraries of buckets raise
            if attempt == ATTEMPTS:
                raise UnreachableError(f"{first_line(error)} ({ATTEMPTS} attempts)") from error
            sleep(FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311
    raise AssertionError


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    told = (getattr(error, "strerror", None) or str(error)).strip()
    return (told.splitlines() or [type(error).__name__])[0]
