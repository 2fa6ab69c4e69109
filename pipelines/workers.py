"""Where heads are fitted that no engine solves together: here, or on a Ray or Dask cluster, by joblib."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import joblib

from pipelines.config import Config
from pipelines.errors import UsageError

CLUSTERS = ("ray", "dask")


@contextmanager
def fitting_workers(config: Config) -> Iterator[None]:
    """Have sweeps use the workers that a config's `search` names, while the context lasts.

    Raises
    ------
    UsageError
        With the line, if Dask is not installed or cannot be reached.
    extract.EngineError
        If Ray cannot be reached.
    """
    search = config.search
    if search.backend is None and search.n_jobs is None:
        yield  # by whatever joblib is set to
        return
    with ExitStack() as stack:
        if search.backend == "ray":
            _join_ray(search.address, stack)
        elif search.backend == "dask":
            _join_dask(config, stack)
        jobs = search.n_jobs or (-1 if search.backend in CLUSTERS else 1)
        stack.enter_context(joblib.parallel_config(backend=search.backend or "loky", n_jobs=jobs))
        yield


def _join_ray(address: str | None, stack: ExitStack) -> None:
    from extract.clusters.cluster import Cluster
    from extract.engine import Engine

    stack.enter_context(Cluster(Engine("ray", address=address)).connection())
    from ray.util.joblib import register_ray

    register_ray()


def _join_dask(config: Config, stack: ExitStack) -> None:
    try:
        from dask.distributed import Client
    except ImportError as error:
        place = config.where("search", "backend")
        raise UsageError(f"{place}: `dask` is not installed; pip install 'dask[distributed]'") from error
    address = config.search.address
    try:
        client = Client(address, timeout="30s") if address else Client(processes=True, dashboard_address=None)
    except (OSError, ValueError) as error:
        place = config.where("search", "address")
        raise UsageError(f"{place}: no Dask cluster at {address or 'this machine'}: {error}") from error
    stack.enter_context(client)
