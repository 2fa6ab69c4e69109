"""Ranks: processes that `torchrun` starts side by side to extract one data set, each on its own device.

Every rank looks at the same samples and computes those that are its own by their keys, so that ranks need not talk until they
are done.
"""

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_PATIENCE = datetime.timedelta(days=30)  # ranks finish when they finish; torchrun ends all if one fails


@dataclass(frozen=True)
class Rank:
    """One of several processes with the same work.

    Attributes
    ----------
    number, of
        Which of how many.
    local
        Which on this machine.
    """

    number: int = 0
    of: int = 1
    local: int = 0

    @classmethod
    def of_process(cls) -> "Rank":
        """Return what `torchrun` says in RANK, WORLD_SIZE and LOCAL_RANK; the only one where it says nothing."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        number, of, local = (int(os.environ.get(name, default)) for name, default in zip(names, ("0", "1", "0"), strict=True))
        return cls(number, of, local)

    def owns(self, keys: np.ndarray) -> np.ndarray:
        """Return a mask `[n]` of the keys `[n, 16]` that are this rank's; every key is exactly one rank's."""
        numbers = np.ascontiguousarray(keys[:, :8]).view("<u8").reshape(-1)
        return numbers % np.uint64(self.of) == self.number

    def device(self, device: str) -> str:
        """Return this rank's own device of a kind."""
        return f"cuda:{self.local}" if self.of > 1 and device == "cuda" else device

    def gather(self, told: Any) -> Sequence[Any]:
        """Wait for all ranks, and return what each has told, in their order."""
        if self.of == 1:
            return [told]
        from torch import distributed

        if not distributed.is_initialized():
            distributed.init_process_group("gloo", timeout=_PATIENCE)
        heard: list[Any] = [None] * self.of
        distributed.all_gather_object(heard, told)
        return heard
