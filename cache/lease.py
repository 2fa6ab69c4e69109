"""Leases: which samples of a recipe a running job is at work on, so that no other local job does the same work twice.

A lease is a hint and never a lock on data: if it fails in any way, two jobs compute the same rows and one of them wins.
Each job has a file in `recipes/<id>/leases` with the keys it has claimed; a job that died holds nothing any more.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from cache.atomic import make_folder
from cache.errors import StoreError
from cache.files import read_small
from cache.keys import KEY_BYTES, sortable
from cache.process import is_alive, this_process

PATIENCE = 15 * 60.0
"""Seconds without a claim after which a job counts as dead, even if its process seems to live."""

_LARGEST = 2**30


class Lease:
    """A job's claims on samples of one recipe; to be used as a context.

    Parameters
    ----------
    folder
        The recipe's `leases` folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / f"{this_process()}-{secrets.token_hex(4)}.lease"

    def __enter__(self) -> "Lease":
        with turn(self.folder):  # not while somebody removes what is not wanted
            self._write(b"")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def renew(self) -> None:
        """Give a sign of life."""
        with contextlib.suppress(OSError):
            os.utime(self._path)

    def release(self) -> None:
        """End the lease: the job holds nothing any more."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    @property
    def name(self) -> str:
        """What this lease goes by among those of its recipe."""
        return self._path.stem

    @property
    def machine(self) -> str:
        """What the names of this machine's leases begin with."""
        return this_process().rpartition("-")[0] + "-"

    def living(self) -> set[str]:
        """Return the names of the recipe's leases whose jobs live, this one's too."""
        return {path.stem for path in living(self.folder)}

    def claim(self, keys: np.ndarray) -> np.ndarray:
        """Claim samples in place of those claimed before.

        Parameters
        ----------
        keys
            `[n, 16]` uint8.

        Returns
        -------
        np.ndarray
            Mask `[n]`, true where no living job has claimed the sample: these are this job's until its next claim.
        """
        with turn(self.folder):
            taken = [_read(path) for path in living(self.folder) if path != self._path]
            granted = np.ones(len(keys), bool)
            if taken:
                granted = ~np.isin(sortable(keys), np.concatenate(taken))
            self._write(np.ascontiguousarray(keys[granted]).tobytes())
        return granted

    def _write(self, content: bytes) -> None:
        temporary = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):  # where leases cannot be written, jobs go on without
            make_folder(self.folder)
            temporary.write_bytes(content)
            os.replace(temporary, self._path)


def living(folder: Path) -> list[Path]:
    """Return the lease files of jobs that live; those of dead jobs are removed."""
    alive = []
    for path in sorted(folder.glob("*.lease")) if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            sign = path.lstat().st_mtime
            process = path.stem.rpartition("-")[0]
            if is_alive(process, sign, PATIENCE) and time.time() - sign < PATIENCE:
                alive.append(path)
            else:
                path.unlink()
                path.with_suffix(".new").unlink(missing_ok=True)
    return alive


def _read(path: Path) -> np.ndarray:
    try:
        content = read_small(path, _LARGEST)
    except StoreError:
        content = b""
    whole = content[: len(content) // KEY_BYTES * KEY_BYTES]
    return sortable(np.frombuffer(whole, np.uint8).reshape(-1, KEY_BYTES))


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Let one process at a time look at a recipe's leases and act on them, where the file system can lock.

    Parameters
    ----------
    folder
        The recipe's `leases` folder.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            make_folder(folder)
            while True:
                descriptor = os.open(folder / "turn", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                    if os.path.samestat(os.fstat(descriptor), os.stat(folder / "turn")):
                        stack.callback(os.close, descriptor)
                        break
                except FileNotFoundError:
                    make_folder(folder)  # whoever had the turn removed it with the recipe
                os.close(descriptor)
        yield
