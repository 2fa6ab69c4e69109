"""How a command ends before it is done: Ctrl-C, SIGTERM, and the failure of one of several ranks."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from extract.ranks import Rank

SECONDS_FOR_THE_FIRST = 3.0
"""How long a rank waits before it tells its failure: if the first one fails as well, `torchrun` ends this one in the meantime,
and a mistake is told once."""


@contextmanager
def terminable() -> Iterator[None]:
    """Take SIGTERM, by which schedulers and `torchrun` end a process, as Ctrl-C: what has been computed is committed first."""
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def speaker(failed: bool) -> str | None:
    """Return what a message of this process begins with: nothing for the first rank, its number for another one that `failed`,
    and None for one that is to be silent.
    """
    try:
        rank = Rank.of_process()
    except Exception:  # that it is no rank is what the message says
        return ""
    if not rank.number:
        return ""
    if not failed:
        return None
    time.sleep(SECONDS_FOR_THE_FIRST)
    return f"rank {rank.number} of {rank.of}: "
