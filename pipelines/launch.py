"""`--engine torchrun` from a plain shell: the same command again, in several ranks that `torchrun` looks after."""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Sequence

from extract.devices import choose_device
from extract.ranks import Rank
from pipelines.config import Config


class LaunchNeeded(Exception):  # noqa: N818  (asks for something, and is no error)
    """A command is to be run by so many ranks, and this process is none of them."""

    def __init__(self, ranks: int) -> None:
        super().__init__(ranks)
        self.ranks = ranks


def count_ranks(config: Config) -> int:
    """Return how many ranks this process is to start; 1 where it is to do the work itself."""
    if config.engine.kind != "torchrun" or "RANK" in os.environ or Rank.of_process().of > 1:
        return 1
    if config.engine.processes is not None:
        return config.engine.processes
    if choose_device(config.device) != "cuda":
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def launch_if_asked(config: Config) -> None:
    """Raise `LaunchNeeded` where the config's engine wants ranks and this process is none."""
    if (ranks := count_ranks(config)) > 1:
        raise LaunchNeeded(ranks)


def launch(arguments: Sequence[str], ranks: int) -> tuple[int, str | None]:
    """Run `headstart ARGUMENTS` in so many ranks on this machine.

    Returns
    -------
    int
        Exit status: the first failed rank's.
    str or None
        What happened to a rank that could not say so itself.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # ranks say themselves what went wrong
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "pipelines.cli", *arguments)
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode > 0:
            return failure.exitcode, None
        name = signal.Signals(-failure.exitcode).name
        return 1, f"rank {number} of {ranks} was ended by {name}, and the others with it"
    except SignalException as error:
        return 128 + error.sigval, None
    return 0, None
