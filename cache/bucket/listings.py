"""What is in a bucket, from listings that may be older than what was put or removed.

- What this process has put is in it, whatever a listing says.
- What turned out to be gone is not in it, unless a listing shows it as something newer.
- Who removes shards leaves a token before and after, which is read with every listing of shards. A new one says that something
  was removed since: then each shard that is listed, and is not here whole, is asked for a byte. So nobody takes rows to be
  there of a shard that upkeep removed, however old the listing is. The mirror remembers the last token.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cache.atomic import write_atomically
from cache.bucket.remote import Found, MissingError, Remote, for_each
from cache.errors import StoreError
from cache.files import read_small

LISTING_SECONDS = 5.0
"""For how long a listing is taken for what is there now."""

STALE_SECONDS = 900.0
"""How old a listing may be that a bucket gives out."""

TOKEN = "removed"  # noqa: S105
_MOST_TOKEN = 64


class Listings:
    """The listings of one store.

    Parameters
    ----------
    remote
        The bucket.
    root
        The store's folder in the mirror.
    on_gone
        Told the key of an object that turned out to be gone.
    clock
        Seconds, for tests.
    """

    def __init__(
        self, remote: Remote, root: Path, on_gone: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._remote = remote
        self._root = root
        self._on_gone = on_gone
        self._clock = clock
        self._known: dict[str, tuple[float, dict[str, Found]]] = {}
        self._put: dict[str, tuple[float, Found]] = {}
        self._gone: dict[str, tuple[float, str]] = {}
        self._lock = threading.RLock()

    def of(self, folder: str) -> Mapping[str, Found]:
        """Return what is right in a folder, by name."""
        with self._lock:
            known, now = self._known.get(folder), self._clock()
            if known is None or now - known[0] > LISTING_SECONDS:
                known = now, self._remote.list(folder)
                self._known[folder] = known
                if folder.endswith("/shards"):
                    self._heed_removals(folder, known[1])
            put = {
                key.rpartition("/")[2]: found
                for key, (when, found) in self._put.items()
                if key.rpartition("/")[0] == folder and now - when < STALE_SECONDS
            }
            both = {**known[1], **put}
            return {name: found for name, found in both.items() if not self._is_gone(f"{folder}/{name}", found)}

    def find(self, key: str) -> Found | None:
        """Return what a listing says of one object; None if it is not there."""
        folder, _, name = key.rpartition("/")
        return self.of(folder).get(name)

    def forget(self, folder: str) -> None:
        """Have a folder listed anew when it is asked for next."""
        with self._lock:
            self._known.pop(folder, None)

    def note_put(self, key: str, size: int) -> None:
        """Note that this process has put an object."""
        with self._lock:
            self._put[key] = self._clock(), Found(size, f"{size}:put", time.time())
            self._gone.pop(key, None)

    def note_gone(self, key: str) -> None:
        """Note that an object turned out to be gone, or was removed."""
        folder, _, name = key.rpartition("/")
        with self._lock:
            listed = self._known.get(folder, (0.0, {}))[1].get(name)
            self._put.pop(key, None)
            self._gone[key] = self._clock(), "" if listed is None else listed.stamp
        self._on_gone(key)

    def announce_removal(self, folder: str) -> None:
        """Say that shards in a folder are about to be removed, or were."""
        self._remote.write(_token_of(folder), secrets.token_hex(8).encode())

    def _heed_removals(self, folder: str, listed: Mapping[str, Found]) -> None:
        try:
            token = self._remote.read_small(_token_of(folder), _MOST_TOKEN)
        except MissingError:
            return
        known = self._root / _token_of(folder)
        with contextlib.suppress(StoreError):
            if read_small(known, _MOST_TOKEN) == token:
                return
        doubtful = [f"{folder}/{name}" for name in listed if not (self._root / folder / name).is_file()]
        for key, there in zip(doubtful, for_each(self._is_there, doubtful), strict=True):
            if not there:
                self.note_gone(key)
        with contextlib.suppress(StoreError):
            write_atomically(known, token)

    def _is_there(self, key: str) -> bool:
        try:
            self._remote.read(key, 0, 1)
        except MissingError:
            return False
        return True

    def _is_gone(self, key: str, found: Found) -> bool:
        when, stamp = self._gone.get(key, (0.0, ""))
        return key in self._gone and self._clock() - when < STALE_SECONDS and found.stamp in (stamp, f"{found.size}:put")


def _token_of(folder: str) -> str:
    return f"{folder.rpartition('/')[0]}/{TOKEN}"
