"""The engine `ray`: a cluster that is connected to when there is something to ask of it.

Ray starts actors, hands out what is to be done, restarts what dies and does its work again. Actors commit shards to the
shared store themselves; what comes back is how it went. A run of Ray that broke off, or that waits for a node which does not
come back, is followed by another one over what is still missing, with the nodes that are left.
"""

import importlib.util
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from cache import FeatureStore, Lease, Recipe
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.spec import BackboneSpec
from extract.clusters.actor import Whereabouts, Work
from extract.clusters.job import RayJob
from extract.clusters.pool import Pool, last_line
from extract.clusters.stream import RayStream, StreamWork, packed, settle
from extract.devices import choose_device, choose_precision
from extract.engine import Engine
from extract.errors import EngineError, NoSuchNameError
from extract.options import LoopOptions
from extract.outputs import Output
from extract.place import one_by_one
from extract.ranks import Rank
from extract.stream import SampleStream
from extract.stream_slice import ExtractedSlices, SliceExtractor

_SETTINGS = {  # which Ray looks at when it is first imported
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # or its own threads would start another cluster once this one is let go
}

SECONDS_TO_ANSWER = 10
"""How long the first machine of a cluster may take to be reached."""


class Cluster:
    """A Ray cluster, which is connected to as soon as there is something to ask of it.

    Parameters
    ----------
    engine
        Which, and how many actors.

    Raises
    ------
    NoSuchNameError
        If Ray is not installed.
    """

    def __init__(self, engine: Engine) -> None:
        if importlib.util.find_spec("ray") is None:
            raise NoSuchNameError("engine ray needs Ray: pip install 'headstart[ray]'")
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        self.engine = engine
        self.rank = Rank()
        self.claims = True
        self._connected = False

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Be connected, and let go afterwards of a connection that was made here.

        Ray tells of nodes and processes that die on standard output, which belongs to the command's result.
        """
        self.connect()
        with redirect_stdout(sys.stderr) if self._connected else nullcontext():
            try:
                yield
            finally:
                self.disconnect()

    def disconnect(self) -> None:
        """Let go of the connection if it was made here."""
        import ray

        if self._connected:
            ray.shutdown()
            self._connected = False

    def connect(self) -> None:
        """Connect to the cluster, or start one on this machine, unless that has been done; raises `EngineError` if it fails."""
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise EngineError(f"ray: {error}; pip install 'headstart[ray]'") from error
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        if ray.is_initialized():
            return
        check_answers(self.engine.address or os.environ.get("RAY_ADDRESS"))
        self._connected = True
        try:
            ray.init(address=self.engine.address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # of many types, and some of many lines
            place = self.engine.address or os.environ.get("RAY_ADDRESS") or "this machine"
            raise EngineError(f"ray: no cluster at {place}: {last_line(error)}; `ray start --head` starts one") from error

    def device(self, device: str) -> str:
        """Return the kind of device that the actors compute on: for `auto` a GPU where this machine or the cluster has one."""
        here = choose_device(device).partition(":")[0]  # which one is for Ray to say
        if device != "auto" or here == "cuda" or not self._is_elsewhere():
            return here
        import ray

        self.connect()
        return "cuda" if ray.cluster_resources().get("GPU", 0) >= 1 else "cpu"

    def precision(self, asked: str, device: str) -> str:
        """Return the arithmetic of the forward pass there; what a GPU has is asked of a node that has one."""
        import ray

        if asked != "auto" or device != "cuda" or choose_device("auto") == "cuda":
            return choose_precision(asked, device)
        self.connect()
        return str(ray.get(ray.remote(num_gpus=1)(choose_precision).remote(asked, device)))

    def job(
        self,
        store: FeatureStore,
        recipe: Recipe,
        lease: Lease,
        checkpoint: Checkpoint,
        spec: BackboneSpec,
        device: str,
        options: LoopOptions,
        outputs: Sequence[Output],
        progress: Any,
        loaded: dict[str, Any] | None,
    ) -> "RayJob":
        """Return the job that extracts there; the parameters are those of `Job`, and actors load backbones of their own."""
        kind = checkpoint.offer.takes
        work = Work(Whereabouts.of(store), recipe, spec, kind, device, options, tuple(outputs))
        return RayJob(self, work, store, lease, progress)

    def slices(self, stream: SampleStream, extracting: SliceExtractor) -> ExtractedSlices:
        """Have the cluster read a stream's parts; what has none, or cannot be sent there, is read here a slice at a time.

        Raises
        ------
        EngineError
            If the cluster makes no headway, or its nodes do not share the store.
        HeadstartError
            What is wrong with the stream or a backbone.
        """
        cut = None if stream.cut is None else stream.cut()  # what is wrong with the source is told before Ray is started
        with self.connection():
            parts = None if cut is None else packed(cut)
            if parts is None:
                yield from one_by_one(stream, extracting)
                return
            device = self.device(extracting.device)
            settled = [settle(request, device, partial(self.precision, device=device)) for request in extracting.requests]
            requests = [request for request, _ in settled]
            where = Whereabouts.of(extracting.store)
            work = StreamWork(where, requests, device, extracting.options, extracting.strict, extracting.check)
            yield from RayStream(self, work, extracting, [recipes for _, recipes in settled], parts).slices()

    def _is_elsewhere(self) -> bool:
        """Tell whether there is a cluster already, which may have other devices than this machine."""
        import ray

        place = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"
        return ray.is_initialized() or bool(self.engine.address or os.environ.get("RAY_ADDRESS")) or place.exists()

    def pool(self, device: str) -> Pool:
        """Return the actors that there can be now."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        if not nodes:
            raise EngineError("ray: no node of the cluster has a free CPU")
        if device == "cuda":
            gpus = int(sum(node.get("GPU", 0) for node in nodes))
            if not gpus:
                raise EngineError("ray: no node of the cluster has a GPU; `--set device=cpu` computes without")
            return Pool(min(self.engine.processes or gpus, gpus), 1.0, 1.0)
        cpus = int(sum(node["CPU"] for node in nodes))
        if self.engine.processes is None:
            return Pool(len(nodes), max(1.0, min(node["CPU"] for node in nodes) - 1), 0.0)
        return Pool(min(self.engine.processes, cpus), 1.0, 0.0)


def check_answers(address: str | None) -> None:
    """See that something listens where a cluster is said to be, since Ray would wait there without end.

    Raises
    ------
    EngineError
        If `host:port` or `ray://host:port` cannot be reached, or is written otherwise.
    """
    if address in (None, "", "auto", "local"):
        return
    host, colon, port = str(address).rpartition("://")[2].rpartition(":")
    if not (colon and host and port.isdigit()):
        raise EngineError(f"ray: `{address}` is no address; write host:port, as `ray start --head` tells it")
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or error
        raise EngineError(f"ray: no cluster answers at {address} ({told}); `ray start --head` starts one") from error
