"""Ranks: processes that `torchrun` or `srun` starts side by side to extract one data set, each on its own device.

Every rank looks at the same samples and computes first those that are its own by their keys. They meet in the store alone: what
a rank has claimed, and what it reports once it is done, are files beside the shards. So there is no connection that can hang; a
rank that dies holds nothing any more, and the others take over what it left.
"""

import hashlib
import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from extract.errors import NoSuchNameError

_SESSION = (
    "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT",
    "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT",
)  # fmt: skip
_calls = itertools.count()


@dataclass(frozen=True)
class Rank:
    """One of several processes with the same work.

    Attributes
    ----------
    number, of
        Which of how many.
    local
        Which on this machine.
    session
        Names the launch that this process is of: the same in all its ranks.
    """

    number: int = 0
    of: int = 1
    local: int = 0
    session: str = field(default="", compare=False)

    @classmethod
    def of_process(cls, environment: Mapping[str, str] = os.environ) -> "Rank":
        """Return what `torchrun` says in RANK, WORLD_SIZE and LOCAL_RANK, or else `srun` in SLURM_PROCID, SLURM_NTASKS and
        SLURM_LOCALID; the only one where neither says anything.

        A shell or a batch script that SLURM has started is no rank, however many tasks it may start: what `srun` starts is.

        Raises
        ------
        NoSuchNameError
            If what they say is no rank.
        """
        if "RANK" in environment and "WORLD_SIZE" in environment:
            names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        elif "SLURM_STEP_NUM_TASKS" in environment:
            names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        elif environment.get("ENVIRONMENT") != "BATCH":
            names = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")
        else:
            return cls()
        said = {name: environment.get(name, default) for name, default in zip(names, ("0", "1", "0"), strict=True)}
        told = ", ".join(f"{name}={value}" for name, value in said.items())
        if not all(value.isdecimal() for value in said.values()):
            raise NoSuchNameError(f"{told}: is no rank; start with torchrun or srun, or unset these")
        number, of, local = map(int, said.values())
        if number >= of:
            raise NoSuchNameError(f"{told}: is no rank of so many; start with torchrun or srun, or unset these")
        mark = "\n".join(environment.get(name, "") for name in _SESSION)
        return cls(number, of, local, hashlib.blake2b(mark.encode(), digest_size=8).hexdigest())

    def next_session(self) -> str:
        """Return a name for the extraction that is about to begin; ranks extract the same things in the same order."""
        return f"{self.session}-{next(_calls)}"

    def owns(self, keys: np.ndarray) -> np.ndarray:
        """Return a mask `[n]` of the keys `[n, 16]` that are this rank's; every key is exactly one rank's.

        Only keys of missing samples are shared out. With another number of ranks, what those before have extracted stays, and
        what is missing is shared out anew.
        """
        return self.owners(keys) == self.number

    def owners(self, keys: np.ndarray) -> np.ndarray:
        """Return the numbers `[n]` of the ranks whose keys `[n, 16]` these are."""
        numbers = np.ascontiguousarray(keys[:, :8]).view("<u8").reshape(-1)
        return numbers % np.uint64(self.of)

    def device(self, device: str, count: Callable[[], int] | None = None) -> str:
        """Return this rank's own device of a kind, of as many as this process sees.

        Parameters
        ----------
        device
            `cpu`, `cuda`, `cuda:3`, `mps`.
        count
            Counts the GPUs; torch does by default. Where `srun` shows each of its tasks a single one, that is the one.
        """
        if self.of == 1 or device != "cuda":
            return device
        if count is None:
            import torch

            count = torch.cuda.device_count
        return f"cuda:{self.local % max(1, count())}"
