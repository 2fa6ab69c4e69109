"""Sharing work with other processes on the same store: first what nobody is at work on, then what they left undone."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from cache import FeatureStore, Lease, Recipe, as_key_array
from cache.keys import sortable
from cache.lease import PATIENCE
from cache.reports import Reports
from extract.outcome import Outcome
from extract.ranks import Rank

SECONDS_BETWEEN_LOOKS = 0.5
FIRST_LOOK = 0.02
"""Seconds until ranks look again, which end at about the same time; twice as long every time, up to `SECONDS_BETWEEN_LOOKS`."""

PATIENCE_AT_END = 30.0
"""Seconds for which ranks are waited for whose leases cannot be seen, once nothing is missing."""

_REMEMBERED = 2
_told: dict[int, deque[Reports]] = {}
"""This process's last reports, by its number. Who has begun one extraction has read all reports of the one before."""


def take_turns(
    store: FeatureStore,
    recipe: Recipe,
    lease: Lease,
    keys: np.ndarray,
    outputs: Iterable[str],
    positions: np.ndarray,
    on_wait: Callable[[int], None],
    sleep: Callable[[float], None] = time.sleep,
    refused: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[np.ndarray]:
    """Yield what this process is to extract now, until nothing is left that is missing.

    Parameters
    ----------
    store, recipe, lease
        Where, what, and this process's claims.
    keys
        `[n, 16]` of all samples.
    outputs
        Names of the outputs that are to be there in the end.
    positions
        `[m]`, the samples to extract.
    on_wait
        Told how many samples another process is at work on, each time this one has nothing else to do.
    sleep
        For tests.
    refused
        Returns a mask of the keys that another process has refused; it may hold its claims on them until this one is done.
    """
    outputs = list(outputs)
    while len(positions):
        if refused is not None:
            positions = positions[~refused(keys[positions])]
        granted = lease.claim(keys[positions])
        mine = positions[granted]
        if len(mine) and len(now := mine[store.missing(recipe, keys[mine], outputs)]):
            yield now
        positions = positions[~granted]
        if len(positions) and not len(mine):
            on_wait(len(positions))
            sleep(SECONDS_BETWEEN_LOOKS)
        positions = positions[store.missing(recipe, keys[positions], outputs)] if len(positions) else positions


class Team:
    """Several ranks on one store: what each is to do, and what they did together.

    A rank reports when it begins, when its own samples are done and when nothing is missing any more; a report names the rank's
    lease, by which the others know whether it lives.

    Parameters
    ----------
    rank
        Which of them this process is.
    store, recipe, lease, keys, outputs, on_wait
        As `take_turns` has them.
    outcome
        Called for what this rank has done so far.
    sleep
        For tests.
    """

    def __init__(
        self,
        rank: Rank,
        store: FeatureStore,
        recipe: Recipe,
        lease: Lease,
        keys: np.ndarray,
        outputs: Iterable[str],
        on_wait: Callable[[int], None],
        outcome: Callable[[], Outcome],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rank = rank
        self._where = (store, recipe, lease, keys, list(outputs))
        self._on_wait = on_wait
        self._outcome = outcome
        self._sleep = sleep
        self._left, self._news = -1, time.monotonic()
        self._reports = store.reports(recipe, rank.next_session()) if rank.of > 1 else None
        if self._reports is not None:
            self._reports.withdraw(rank.number)
            self._report(done=False)
            told = _told.setdefault(rank.number, deque())
            told.append(self._reports)
            while len(told) > _REMEMBERED:
                told.popleft().withdraw(rank.number)

    def turns(self, todo: np.ndarray) -> Iterator[np.ndarray]:
        """Yield what this rank is to extract now, until nothing is missing: its own of the samples `todo [m]`, then what others
        left.

        A sample that a rank has refused is not missing. A rank that has not begun yet has left everything.
        """
        store, recipe, lease, keys, outputs = self._where
        mine = self.rank.owns(keys[todo])
        refused = None if self._reports is None else self._refused
        yield from take_turns(store, recipe, lease, keys, outputs, todo[mine], self._on_wait, self._sleep, refused)
        left, pauses = todo[~mine], _pauses()
        while self._reports is not None:
            self._report(done=False)
            left = left[store.missing(recipe, keys[left], outputs)]
            left = left[~self._refused(keys[left])]
            if not len(left):
                break
            granted = left[self._abandoned(keys[left])]
            granted = granted[lease.claim(keys[granted])]
            now = granted[store.missing(recipe, keys[granted], outputs)]  # committed between the look and the claim
            now = now[~self._refused(keys[now])]
            if len(now):
                yield now
                pauses = _pauses()
            else:
                pause = next(pauses)
                if pause >= SECONDS_BETWEEN_LOOKS:
                    self._on_wait(len(left))
                self._sleep(pause)

    def together(self) -> Outcome:
        """Return what all ranks did: of those that still live once they have told it, of others as far as they have."""
        if self._reports is None:
            return self._outcome()
        self._report(done=True)
        self._news, pauses = time.monotonic(), _pauses()
        while self._at_work():
            self._sleep(next(pauses))
        heard = self._reports.read() | {self.rank.number: self._outcome().to_json()}
        return Outcome.together([outcome for content in heard.values() for outcome in _outcomes(content)])

    def _at_work(self) -> bool:
        """Tell whether another rank lives that has begun and is not done."""
        assert self._reports is not None
        store, _, lease, _, _ = self._where
        waited_for = {content.get("lease") for content in self._reports.read().values() if not content.get("done")}
        waited_for -= {lease.name}
        unseen = {name for name in waited_for if not store.place.shared and not str(name).startswith(lease.machine)}
        return bool((waited_for - unseen) & lease.living()) or (
            bool(unseen) and time.monotonic() - self._news < PATIENCE_AT_END
        )

    def _abandoned(self, keys: np.ndarray) -> np.ndarray:
        """Return a mask of the keys that others may leave to this rank, if no lease is on them.

        In a folder that is all. Leases on a bucket are seen on one machine alone: there a share is left where its own rank
        was of this machine and is dead, or where nothing has come of any share for as long as a lease lives without a sign.
        """
        assert self._reports is not None
        store, _, lease, _, _ = self._where
        if store.place.shared:
            return np.ones(len(keys), bool)
        if len(keys) != self._left:
            self._left, self._news = len(keys), time.monotonic()
        if time.monotonic() - self._news > PATIENCE:
            return np.ones(len(keys), bool)
        living, heard = lease.living(), self._reports.read()
        names = {number: str(content.get("lease")) for number, content in heard.items() if not content.get("done")}
        dead = [number for number, name in names.items() if name.startswith(lease.machine) and name not in living]
        return np.isin(self.rank.owners(keys), np.array(dead, np.uint64))

    def _report(self, done: bool) -> None:
        if self._reports is not None:
            told = self._outcome().to_json() | {"lease": self._where[2].name, "done": done}
            self._reports.write(self.rank.number, told)

    def _refused(self, keys: np.ndarray) -> np.ndarray:
        """Return a mask of the keys that some rank has refused, as far as it has told."""
        assert self._reports is not None
        refused = set(self._outcome().refused)
        for content in self._reports.read().values():
            refused.update(*(outcome.refused for outcome in _outcomes(content)))
        return np.isin(sortable(keys), sortable(as_key_array(refused))) if refused else np.zeros(len(keys), bool)


def _pauses() -> Iterator[float]:
    pause = FIRST_LOOK
    while True:
        yield pause
        pause = min(2 * pause, SECONDS_BETWEEN_LOOKS)


def _outcomes(content: Mapping[str, Any]) -> list[Outcome]:
    """Return the outcome that a report tells of; none if it is another version's."""
    try:
        return [Outcome.from_json(content)]
    except ValueError:
        return []
