"""Talking with a bucket through fsspec: whole objects and parts of them, tried again while that may help.

The only module that touches fsspec. An answer is what was asked for, to the byte, or there is a `StoreError` that names the
URL; `MissingError` where there is no such object. What objects mean is not known here.
"""

import contextlib
import errno
import os
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cache.errors import StoreError

PATIENCE = 60.0
"""Seconds for which a request that fails is made again; HEADSTART_BUCKET_PATIENCE says otherwise."""

AT_ONCE = 16
"""Requests made side by side."""

PIECE, _PIECES_AT_ONCE = 2**23, 8
"""Bytes asked for at a time where a whole object is read."""

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 8.0
_HOPELESS = (errno.EINVAL, errno.ENOSYS, errno.EPERM, getattr(errno, "EREMCHG", -1))
_TRIES_WHERE_HOPELESS, _TRIES_WHERE_SHORT = 3, 4
_DRIVERS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "abfs": "adlfs", "az": "adlfs"}
_T = TypeVar("_T")
_A = TypeVar("_A")


class MissingError(StoreError):
    """There is no such object."""


class ShortError(StoreError):
    """An object is shorter than it was listed; so it was replaced, or comes cut off every time."""


@dataclass(frozen=True)
class Found:
    """What a listing says of an object: its bytes, what differs when it is replaced, when it was written (None if not told)."""

    size: int
    stamp: str
    modified: float | None


class Remote:
    """A bucket, from a prefix on.

    Parameters
    ----------
    url
        Such as `s3://bucket/features`.
    options
        What fsspec's file system for such URLs takes.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.url = url.rstrip("/")
        self.name = re.sub(r"//[^/@]*@", "//", self.url)
        """The URL without a password, for messages."""
        self.patience = _patience()
        self._options = dict(options)
        self._made: tuple[int, Any, str] | None = None
        self._connect()

    def list(self, folder: str) -> dict[str, Found]:
        """Return the objects right under a prefix by their names; those deeper as the name of the next part, with no bytes."""

        def ask() -> dict[str, Found]:
            files, root = self._connect()
            place = f"{root}/{folder}".rstrip("/")
            files.invalidate_cache()
            try:
                entries = files.ls(place, detail=True)
            except FileNotFoundError as error:
                if _says_no_bucket(error):
                    raise
                return {}
            names = (str(entry["name"]).rstrip("/").rpartition("/")[2] for entry in entries)
            return {name: _found(entry) for name, entry in zip(names, entries, strict=True) if name}

        return self._try(folder, "cannot be listed", ask)

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Read bytes of an object from `start` to `stop`; raises `ShortError` if they are not all there."""
        short = 0

        def ask() -> bytes:
            nonlocal short
            files, root = self._connect()
            try:
                content = files.cat_file(f"{root}/{name}", start=start, end=stop)
            except OSError as error:
                if "InvalidRange" not in repr(error) + repr(error.__cause__):
                    raise
                content = b""
            if len(content) == stop - start:
                return bytes(content)
            short += 1
            told = f"{len(content):,} bytes came where {stop - start:,} were asked for"
            raise ShortError(f"{self.name}/{name}: {told}") if short >= _TRIES_WHERE_SHORT else ConnectionError(told)

        return self._try(name, "cannot be read", ask)

    def read_small(self, name: str, most: int) -> bytes:
        """Read a whole object that has no reason to be larger than `most` bytes."""

        def ask() -> bytes:
            files, root = self._connect()
            return bytes(files.cat_file(f"{root}/{name}", start=0, end=most + 1))

        content = self._try(name, "cannot be read", ask)
        if len(content) > most:
            raise StoreError(f"{self.name}/{name}: is larger than {most:,} bytes, so it is not what its name says")
        return content

    def download(self, name: str, size: int, descriptor: int) -> None:
        """Write an object of a known size to an open file."""

        def fetch(start: int) -> None:
            piece = memoryview(self.read(name, start, min(size, start + PIECE)))
            while piece:
                written = os.pwrite(descriptor, piece, start)
                start, piece = start + written, piece[written:]

        for_each(fetch, range(0, size, PIECE), _PIECES_AT_ONCE)

    def upload(self, path: Path, name: str) -> None:
        """Write a file as an object, which is there whole or not at all."""

        def ask() -> None:
            files, root = self._connect()
            files.put_file(str(path), f"{root}/{name}")

        self._try(name, "could not be written", ask)

    def write(self, name: str, content: bytes) -> None:
        """Write a small object."""

        def ask() -> None:
            files, root = self._connect()
            files.pipe_file(f"{root}/{name}", content)

        self._try(name, "could not be written", ask)

    def copy(self, name: str, to: str) -> None:
        """Copy an object, without its bytes coming here where the bucket can do that."""

        def ask() -> None:
            files, root = self._connect()
            files.cp_file(f"{root}/{name}", f"{root}/{to}")

        self._try(name, "could not be copied", ask)

    def remove(self, name: str) -> None:
        """Remove an object if it is there."""

        def ask() -> None:
            files, root = self._connect()
            with contextlib.suppress(FileNotFoundError):
                files.rm_file(f"{root}/{name}")

        self._try(name, "could not be removed", ask)

    def _connect(self) -> tuple[Any, str]:
        """Return fsspec's file system, one for each process, and where the prefix is in it."""
        if self._made is None or self._made[0] != os.getpid():
            try:
                from fsspec.core import url_to_fs

                # What fsspec remembers of listings or instances would be older than what we want to know.
                files, root = url_to_fs(self.url, **{**_defaults(self.url), **self._options})
            except ImportError as error:
                scheme = self.url.partition("://")[0].rpartition("::")[2]
                package = _DRIVERS.get(scheme, "headstart[cloud]")
                package = "headstart[cloud]" if package == "s3fs" or error.name == "fsspec" else package
                raise StoreError(f"{self.name}: {error}; `pip install {package}`") from error
            except (ValueError, TypeError) as error:
                raise StoreError(f"{self.name}: {error}") from error
            if hasattr(files, "retries") and "retries" not in self._options:
                files.retries = 1  # they are counted in one place, `_try`
            self._made = os.getpid(), files, root.rstrip("/")
        return self._made[1], self._made[2]

    def _try(self, name: str, trouble: str, ask: Callable[[], _T]) -> _T:
        """Ask, and ask again with growing pauses as long as the answer may become another."""
        began, wait, tries = time.monotonic(), _FIRST_WAIT, 0
        place = f"{self.name}/{name}".rstrip("/")
        while True:
            tries += 1
            try:
                return ask()
            except FileNotFoundError as error:
                if _says_no_bucket(error):
                    raise StoreError(f"{self.name}: there is no such bucket; create it, or mend the URL") from error
                raise MissingError(f"{place}: is not there") from error
            except StoreError:
                raise
            except Exception as error:  # every driver and transport has errors of its own
                reason = _in_a_line(error)
                if isinstance(error, PermissionError) or type(error).__name__ in _NO_CREDENTIALS:
                    raise StoreError(f"{place}: {trouble}: {reason}; check the credentials and what they may do") from error
                hopeless = getattr(error, "errno", None) in _HOPELESS or isinstance(error, ValueError | TypeError)
                spent = time.monotonic() - began
                if spent + wait > self.patience or (hopeless and tries >= _TRIES_WHERE_HOPELESS):
                    way = "check `AWS_ENDPOINT_URL`" if "endpoint" in reason.lower() else "try again later"
                    raise StoreError(
                        f"{place}: {trouble}: {reason} ({tries} tries in {spent:.0f} s); nothing was changed, {way}"
                    ) from error
                time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311
                wait = min(2 * wait, _LONGEST_WAIT)


_NO_CREDENTIALS = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound", "TokenRetrievalError",
    "SSOTokenLoadError", "UnauthorizedSSOTokenError", "DefaultCredentialsError", "RefreshError", "LocalTokenNotFoundError",
}  # fmt: skip


def for_each(work: Callable[[_A], _T], items: Sequence[_A], at_once: int = AT_ONCE) -> list[_T]:
    """Do the same with every item, several side by side; return the answers in order."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(at_once, len(items))) as threads:
        return list(threads.map(work, items))


def _patience() -> float:
    text = os.environ.get("HEADSTART_BUCKET_PATIENCE", "")
    try:
        return float(text) if text else PATIENCE
    except ValueError:
        raise StoreError(f"HEADSTART_BUCKET_PATIENCE={text}: is no number of seconds") from None


def _defaults(url: str) -> dict[str, Any]:
    common: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if url.startswith(("s3://", "s3a://")):
        return {**common, "config_kwargs": {"retries": {"total_max_attempts": 1, "mode": "standard"}}}
    return common


def _found(entry: Mapping[str, Any]) -> Found:
    times = (entry.get(name) for name in ("LastModified", "last_modified", "mtime", "updated", "created"))
    when: Any = next((time for time in times if time is not None), None)
    modified = when.timestamp() if hasattr(when, "timestamp") else float(when) if isinstance(when, int | float) else None
    size = int(entry.get("size") or 0) if entry.get("type") != "directory" else 0
    return Found(size, f"{size}:{entry.get('ETag') or entry.get('etag') or ''}:{when or ''}", modified)


def _says_no_bucket(error: FileNotFoundError) -> bool:
    return re.search(r"bucket.*(does not exist|not found)|NoSuchBucket", str(error), re.IGNORECASE) is not None


def _in_a_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
