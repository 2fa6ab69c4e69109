"""Two Ray nodes of local processes, of which a worker and then a node are killed in mid-extraction.

    python -m benchmarks.ray_failures [--rows 40000] [--streamed]

With `--streamed` the rows are in Parquet files, which the cluster reads itself; without, they are in a CSV file, which
the command reads.
Prints what was killed when, and whether every row is in the store once and equal to a local run's.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

BACKBONE = """
import hashlib
import time

import numpy as np


def features(texts):
    time.sleep(0.008)  # so that there is a middle in which to be killed
    return np.array([list(hashlib.blake2b(text.encode(), digest_size=8).digest()) for text in texts], np.float32)


def make():
    return features
"""
CONFIG = """
name: many
data: {{path: {data}}}
backbones: ['python:{folder}/backbone.py:make']
heads: [{{kind: linear}}]
store: store
engine: {{kind: ray, processes: 2, address: '127.0.0.1:{port}'}}
"""
WORKER = "ray::MapWorker"
LIMIT = 900
"""Seconds that nodes, the first shards, and then all of them are waited for."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",  # Ray's own 15 leaves its workers hardly any time beside other work
    "OMP_NUM_THREADS": "1",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


class Nodes:
    """Two Ray nodes with two CPUs each, started by `ray start`; to be used as a context."""

    def __init__(self, folder: Path) -> None:
        self.port = 20000 + os.getpid() % 20000
        self.environment = os.environ | ENVIRONMENT | {"PYTHONPATH": os.getcwd()}
        self.folder = folder
        self.nodes: list[subprocess.Popen] = []

    def __enter__(self) -> "Nodes":
        try:
            self._start("--head", f"--port={self.port}", f"--temp-dir={self.folder}", "--include-dashboard=false")
            self._start(f"--address=127.0.0.1:{self.port}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number in reversed(range(len(self.nodes))):
            self.kill_node(number)

    def _start(self, *options: str) -> None:
        command = [
            str(Path(sys.executable).parent / "ray"),
            "start",
            "--block",
            "--num-cpus=2",
            "--object-store-memory=100000000",
        ]
        log = self.folder / f"node{len(self.nodes)}.log"
        with open(log, "w") as file:
            node = subprocess.Popen([*command, *options], env=self.environment, stdout=file, stderr=subprocess.STDOUT)
        self.nodes.append(node)
        until = time.monotonic() + LIMIT
        while "Ray runtime started" not in log.read_text():
            if node.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{log}: {log.read_text()}")
            time.sleep(0.1)

    def workers(self, number: int) -> list[int]:
        """Return the processes of a node that run backbones."""
        return [pid for pid in descendants(self.nodes[number].pid) if _command(pid).startswith(WORKER)]

    def kill_node(self, number: int) -> None:
        """Kill every process of a node, as a loss of power does."""
        for pid in [self.nodes[number].pid, *descendants(self.nodes[number].pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.nodes[number].wait()


@contextmanager
def short_folder() -> Iterator[str]:
    """Give a folder with a short name, since those of sockets may have 107 bytes; it is removed even if Ray still writes."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def descendants(pid: int) -> list[int]:
    """Return all processes that a process has started, and those they have."""
    try:
        children = [
            int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return [*children, *(below for child in children for below in descendants(child))]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def write_project(folder: Path, rows: int, port: int, streamed: bool) -> list[str]:
    """Write a data set, a backbone and a config; return the texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [" ".join(["text", str(number), *["word"] * (number % 37)]) for number in range(rows)]
    (folder / "backbone.py").write_text(BACKBONE)
    data = "many-{00..09}.parquet" if streamed else "many.csv"
    (folder / "config.yaml").write_text(CONFIG.format(folder=folder, port=port, data=json.dumps(data)))
    if streamed:
        for number, part in enumerate(np.array_split(np.array(texts), 10)):
            pq.write_table(pa.table({"text": part.tolist()}), folder / f"many-{number:02d}.parquet", row_group_size=2000)
    else:
        (folder / data).write_text("text\n" + "".join(f"{text}\n" for text in texts))
    return texts


def run_with_failures(folder: Path, rows: int, say, streamed: bool = False) -> dict:
    """Extract while a worker and then a node are killed; return what the command told, and what the store holds."""
    from cache import FeatureStore
    from cache.maintenance import verify
    from extract import extract

    with short_folder() as short, Nodes(Path(short)) as nodes:
        texts = write_project(folder, rows, nodes.port, streamed)
        say("two nodes")
        command = [sys.executable, "-m", "pipelines.cli", "extract", "config.yaml", "--json"]
        run = subprocess.Popen(
            command, cwd=folder, env=nodes.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

        def wait_for(shards: int) -> None:
            until = time.monotonic() + LIMIT
            while len(list(folder.glob("store/recipes/*/shards/*.h5"))) < shards:
                if time.monotonic() > until:
                    run.kill()
                if run.poll() is not None:
                    raise RuntimeError(f"it ended before {shards} shards were seen: {run.communicate()}")
                time.sleep(0.02)

        wait_for(2)
        killed = [(number, pid) for number in (0, 1) for pid in nodes.workers(number)]
        say(f"workers as (node, pid): {killed}; kills {killed[0]}")
        os.kill(killed[0][1], signal.SIGKILL)
        wait_for(5)
        say(f"kills the second node, with workers {nodes.workers(1)}")
        lost = len(nodes.workers(1))
        nodes.kill_node(1)
        told, complaints = run.communicate(timeout=LIMIT)
    if run.returncode:
        raise RuntimeError(complaints)
    say(told.strip())
    store = FeatureStore(folder / "store")
    [recipe] = store.recipes()
    held = store.shards(recipe)
    alone = extract(texts, f"python:{folder}/backbone.py:make", str(folder / "alone"))
    return {
        "told": json.loads(told)["recipes"][0],
        "workers_lost_with_the_node": lost,
        "rows": sum(shard.rows for shard in held),
        "distinct": store.holding(recipe).rows,
        "damaged": len(verify(store).damaged),
        "largest_difference": float(np.abs(store.read(recipe, alone.keys, "pooled") - alone.array()).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--streamed", action="store_true")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = run_with_failures(
            Path(folder),
            asked.rows,
            lambda text: print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True),
            asked.streamed,
        )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
