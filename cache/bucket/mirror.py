"""The mirror: a folder on this machine with what has been looked at of stores in buckets, and as many whole shards as fit.

Any number of processes share it. A shard comes in whole and checked, under its own name; those not used for longest make
room. Who reads a shard that is removed meanwhile goes on with the file it has open, or has it fetched again.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from cache.atomic import TEMPORARY_PREFIX, make_folder
from cache.budget import parse_size
from cache.errors import StoreError
from cache.process import is_alive, this_process

DEFAULT_SIZE = "20GB"


class Mirror:
    """The mirror of all stores in buckets that this user reads.

    Parameters
    ----------
    root
        The folder.
    most
        Bytes that whole shards may have together.
    """

    def __init__(self, root: Path, most: int) -> None:
        self.root = root
        self.most = most

    @classmethod
    def of_user(cls) -> "Mirror":
        """Return the mirror in HEADSTART_MIRROR, of the size HEADSTART_MIRROR_SIZE; by default 20 GB in the user's cache.

        Raises
        ------
        StoreError
            If the size is none.
        """
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headstart"
        size = os.environ.get("HEADSTART_MIRROR_SIZE") or DEFAULT_SIZE
        try:
            return cls(Path(os.environ.get("HEADSTART_MIRROR") or cache / "mirror").absolute(), parse_size(size))
        except ValueError as error:
            raise StoreError(f"HEADSTART_MIRROR_SIZE: {error}") from error

    def has_room_for(self, size: int) -> bool:
        """Tell whether a shard of so many bytes may be held at all."""
        return size <= self.most

    def hold(self, path: Path, size: int, fetch: Callable[[int], None]) -> None:
        """See that a shard is there whole.

        Parameters
        ----------
        path, size
            Its file, and the bytes it has.
        fetch
            Writes the content to an open file, and raises if it does not hold. One process at a time fetches a shard.

        Raises
        ------
        StoreError
            If the disk does not take it, or whatever `fetch` raises.
        """
        with _turn(_mark_of(path)):
            if path.is_file():
                return
            temporary = path.parent / f"{TEMPORARY_PREFIX}{this_process()}-{secrets.token_hex(4)}"
            try:
                with self._reserved(temporary, size) as descriptor:
                    fetch(descriptor)
                os.replace(temporary, path)
            except OSError as error:
                raise StoreError(f"{path}: could not be written: {error.strerror or error}; see HEADSTART_MIRROR") from error
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)

    def mark_used(self, path: Path) -> None:
        """Note that a shard is being used."""
        mark = _mark_of(path)
        with contextlib.suppress(OSError):
            make_folder(mark.parent)
            mark.touch()

    def trim(self) -> None:
        """Part with shards not used for longest until the rest fits."""
        with contextlib.suppress(OSError), _turn(self.root / "turn"):
            self._make_room(0)

    def drop(self, path: Path) -> None:
        """Let go of a shard."""
        for part in (path, _mark_of(path)):
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _reserved(self, temporary: Path, size: int) -> Iterator[int]:
        """Make room, and a file in it that has its full size from the start, so that others count it."""
        make_folder(temporary.parent)
        with _turn(self.root / "turn"):
            self._make_room(size)
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            os.ftruncate(descriptor, size)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _make_room(self, more: int) -> None:
        held: list[tuple[float, int, Path]] = []
        for path in self.root.glob("*/recipes/*/shards/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                if path.name.startswith(TEMPORARY_PREFIX):
                    writer = path.name.removeprefix(TEMPORARY_PREFIX).rpartition("-")[0]
                    if not is_alive(writer, status.st_mtime):
                        path.unlink()
                        continue
                    held.append((float("inf"), status.st_size, path))
                else:
                    held.append((_last_used(path, status.st_mtime), status.st_size, path))
        total = sum(size for _, size, _ in held)
        for when, size, path in sorted(held):
            if total + more <= self.most or when == float("inf"):
                break
            self.drop(path)
            total -= size


def _mark_of(path: Path) -> Path:
    """Return the file whose time says when a shard was used last, and whose lock says that it is being fetched."""
    return path.parent.parent / "used" / path.name


def _last_used(path: Path, otherwise: float) -> float:
    try:
        return max(_mark_of(path).stat().st_mtime, otherwise)
    except OSError:
        return otherwise


@contextlib.contextmanager
def _turn(mark: Path) -> Iterator[None]:
    """Let one process at a time do something, where the file system can lock."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            make_folder(mark.parent)
            descriptor = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            stack.callback(fcntl.flock, descriptor, fcntl.LOCK_UN)  # a child made meanwhile has the descriptor, too
        yield
