"""A store in a bucket: `python -m benchmarks.bucket [--part kills|training]`.

The bucket is moto's S3 in a process of its own, over HTTP on loopback. `kills` extracts through injected faults while the
extraction is killed again and again, and checks what is there in the end. `training` compares epochs over features in a bucket
with epochs over a local store: the first one with nothing on this machine, later ones from the mirror.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tables
from cache import FeatureStore, Recipe
from cache.maintenance import verify
from tests.s3 import Faults, S3Server

RECIPE = Recipe("bench:bucket", None, "w", {})
FAULTS = {"busy": 0.03, "broken": 0.02, "cut_uploads": 0.05, "cut_reads": 0.03, "short_reads": 0.02}
URL = "s3://features/store"


def main() -> None:
    """Run the chosen parts and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("kills", "training"), action="append")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--width", type=int, default=384)
    options = parser.parse_args()
    for part in options.part or ("kills", "training"):
        with tempfile.TemporaryDirectory() as folder:
            if part == "kills":
                print(json.dumps(kill_extraction(Path(folder), options.kills, 100 * options.kills), indent=1))
            else:
                train(Path(folder), options.rows, options.width)


@contextlib.contextmanager
def served(faults: dict[str, float] | None = None) -> Iterator[None]:
    """Have a server with a bucket `features` in a process of its own, and this process know of it."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    server = spawn.Process(target=_serve, args=(there, faults or {}), daemon=True)
    server.start()
    before = dict(os.environ)
    os.environ.update(here.recv())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.terminate()
        server.join()


def _serve(pipe: Any, faults: dict[str, float]) -> None:
    server = S3Server()
    server.make_bucket("features")
    server.faults = Faults(**faults)
    pipe.send(server.environment)
    threading.Event().wait()


def kill_extraction(folder: Path, kills: int, rows: int, seed: int = 0) -> dict[str, Any]:
    """Kill an extraction into a bucket again and again, let it finish, and compare with one that nobody disturbs.

    Parameters
    ----------
    folder
        For the backbone, the mirror and the local store.
    kills, rows
        How often, and how many texts there are.
    seed
        Of the moments.

    Returns
    -------
    dict
        Kills, how many of them met a running extraction, rows that were there after the last one, what `verify` found, and
        whether all rows equal the local run's.
    """
    from extract import extract
    from tests.conftest import save_encoder, sentences

    rng, texts = random.Random(seed), sentences(rows, seed)
    backbone = f"hf:{save_encoder(folder / 'tiny')}"
    fork = multiprocessing.get_context("fork")
    with served(FAULTS):
        os.environ["XDG_CACHE_HOME"] = str(folder / "machine")
        met = 0
        for _ in range(kills):
            hear, say = os.pipe()
            job = fork.Process(target=_extract, args=(texts, backbone, URL, say))
            job.start()
            os.close(say)
            with open(hear) as heard:
                for _ in range(rng.randint(1, 4)):  # it has begun; it is about to commit a first, second, third shard
                    heard.readline()
                time.sleep(rng.uniform(0, 0.2))
                met += job.is_alive()
                job.kill()  # which may have ended by itself meanwhile
                job.join()
        left = FeatureStore(URL)
        after = sum(left.holding(recipe).rows for recipe in left.recipes())
        features = extract(texts, backbone, URL)
        shutil.rmtree(folder / "machine")  # as another machine sees it
        there = FeatureStore(URL)
        found = verify(there)
        read = there.read(features.recipe, features.keys, features.outputs[0])
        local = extract(texts, backbone, str(folder / "local")).array()
        return {
            "kills": kills,
            "met a running extraction": met,
            "rows": rows,
            "rows after the last kill": after,
            "shards": found.shards,
            "damaged": [str(path) for path in found.damaged],
            "rows that lack": int(there.missing(features.recipe, features.keys, features.outputs).sum()),
            "largest difference to a local run": float(np.abs(np.asarray(read) - np.asarray(local)).max()),
        }


def _extract(texts: list[str], backbone: str, store: str, say: int) -> None:
    """Extract with shards of a few rows, as a slow backbone has them."""
    import torch

    import extract.loop
    from extract import extract as run

    class Telling(FeatureStore):
        def commit(self, *arguments: Any, **others: Any) -> Path:
            os.write(say, b"commits\n")
            return super().commit(*arguments, **others)

    torch.set_num_threads(1)
    extract.loop.FIRST_SLICE, extract.loop.SECONDS_PER_SHARD = 40, 0.2
    os.write(say, b"begun\n")
    run(texts, backbone, Telling(store))


def train(folder: Path, rows: int, width: int) -> None:
    """Compare epochs over a local store and over one in a bucket."""
    from heads import MLPHead

    keys = np.random.default_rng(0).integers(0, 256, (rows, 16), dtype=np.uint8)
    targets = np.random.default_rng(1).integers(0, 10, rows)
    with served():
        os.environ["XDG_CACHE_HOME"] = str(folder / "writer")
        stores = [FeatureStore(folder / "local"), FeatureStore(URL)]
        rng = np.random.default_rng(2)
        for part in np.array_split(np.arange(rows), 10):
            features = rng.normal(size=(len(part), width)).astype(np.float32)
            for store in stores:
                store.commit(RECIPE, keys[part], {"x": features})
        size = stores[0].holding(RECIPE).bytes

        def epoch(store: FeatureStore) -> float:
            began = time.perf_counter()
            MLPHead(hidden=64, batch_size=1024, max_epochs=1, validation_fraction=0).fit(store.rows(RECIPE, keys, "x"), targets)
            return time.perf_counter() - began

        epoch(stores[0])  # imports
        seconds: dict[str, list[float]] = {name: [] for name in ("local", "cold", "warm", "small mirror")}
        for turn in range(3):
            seconds["local"].append(epoch(FeatureStore(folder / "local")))
            os.environ["XDG_CACHE_HOME"] = str(folder / f"machine{turn}")
            seconds["cold"].append(epoch(FeatureStore(URL)))
            seconds["warm"].append(epoch(FeatureStore(URL)))
            os.environ["XDG_CACHE_HOME"] = str(folder / f"small{turn}")
            os.environ["HEADSTART_MIRROR_SIZE"] = str(size // 3)
            seconds["small mirror"].append(epoch(FeatureStore(URL)))
            held = sum(path.stat().st_size for path in (folder / f"small{turn}").rglob("*.h5"))
            del os.environ["HEADSTART_MIRROR_SIZE"]
    base = statistics.median(seconds["local"])
    body = [(name, f"{statistics.median(s):.2f} s", f"{base / statistics.median(s):.2f}x") for name, s in seconds.items()]
    print(f"{rows:,} rows of {width} float32, {size / 1e6:,.0f} MB in 10 shards; an epoch of an MLP head over stored rows\n")
    print(tables.markdown(("epoch", "median of 3", "share of local speed"), body))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\nthe small mirror may hold {size // 3 / 1e6:,.0f} MB and held {held / 1e6:,.0f} MB; peak of memory {peak:,.0f} MB\n"
    )


if __name__ == "__main__":
    main()
