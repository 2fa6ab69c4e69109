"""Reports: what processes that share one extraction tell each other once they are done; small JSON files beside the leases.

They need no connection between the processes but the store. Like leases they are hints: a report that is lost costs double
work or a wrong count, and no row.
"""

import contextlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cache.atomic import write_atomically
from cache.errors import StoreError
from cache.files import read_small
from cache.place import Place

KEPT = 24 * 3600.0
"""Seconds after which a report serves nobody any more."""

_LARGEST = 2**28
_ENDING = ".report"


class Reports:
    """The reports of one extraction that several processes share.

    Parameters
    ----------
    place
        Of the store.
    folder
        The recipe's `leases` folder there.
    session
        Names the extraction: the same in all its processes, and in those of no other.
    """

    def __init__(self, place: Place, folder: Path, session: str) -> None:
        self.place = place
        self.folder = folder
        self.session = session

    def write(self, number: int, content: Mapping[str, Any]) -> None:
        """Leave the report of process `number` in place of the one it left before; say nothing where that is not possible."""
        with contextlib.suppress(StoreError):
            path = self._path(number)
            write_atomically(path, json.dumps(content).encode())
            self.place.publish(path)

    def withdraw(self, number: int) -> None:
        """Remove what a process of the same number left, and reports that serve nobody any more."""
        with contextlib.suppress(StoreError):
            if self._path(number) in self.place.listed(self.folder):
                self.place.remove(self._path(number))
        with contextlib.suppress(OSError):
            for path in self.folder.glob(f"*{_ENDING}"):
                if time.time() - path.lstat().st_mtime > KEPT:
                    path.unlink(missing_ok=True)

    def read(self) -> dict[int, dict[str, Any]]:
        """Return what has been reported so far, by the number of the process."""
        name = re.compile(rf"{re.escape(self.session)}-([0-9]+){re.escape(_ENDING)}")
        heard = {}
        with contextlib.suppress(StoreError):
            found = {path: match for path in self.place.listed(self.folder) if (match := name.fullmatch(path.name))}
            self.place.pull(*found)
            for path, match in found.items():
                with contextlib.suppress(StoreError, ValueError):
                    content = json.loads(read_small(path, _LARGEST))
                    if isinstance(content, dict):
                        heard[int(match[1])] = content
        return heard

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.session}-{number}{_ENDING}"
