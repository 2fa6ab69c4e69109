"""Data that do not fit, in memory and in time: `python -m benchmarks.streaming [--part extraction|training]`.

Extraction: short texts in Parquet through a stub backbone (8 numbers a text), read a slice at a time by `extract_stream` and
at once by `load_samples` and `extract`. Training: an MLP on features in a store, brought into memory and left on disk. Every
way runs in a process of its own, in turns: the most memory beyond what stood there with the libraries, and processor time.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import tables
from cache import FeatureStore, Recipe, as_key_array
from extract import Columns, LoopOptions, Request, custom_backbone, extract, extract_stream, load_samples, stream_samples
from heads import MLPHead

COLUMNS = Columns("text", "label")
OPTIONS = LoopOptions(budget=4096)
RECIPE = Recipe("stub", None, "none", {}, "float32", "float32", 1)


def embed(texts: list[str]) -> np.ndarray:
    """Return 8 numbers a text, at hardly any cost."""
    lengths = np.fromiter(map(len, texts), np.float32, len(texts))
    return lengths[:, None] * np.arange(1, 9, dtype=np.float32)


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("extraction", "training"))
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 200_000, 2_000_000])
    parser.add_argument("--samples", type=int, nargs="+", default=[50_000, 200_000, 800_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.part in (None, "extraction"):
            print(measure_extraction(Path(folder), options.rows), end="\n\n")
        if options.part in (None, "training"):
            print(measure_training(Path(folder), options.samples, options.rounds))


def measure_extraction(folder: Path, sizes: list[int]) -> str:
    """Compare memory and speed of a stream with those of samples in memory, at several numbers of rows."""
    rows = []
    for count in sizes:
        source = write_texts(folder / f"{count}.parquet", count)
        streamed = alone(stream_texts, source, str(folder / f"{count}-streamed"))
        at_once = alone(load_texts, source, str(folder / f"{count}-at-once"))
        again = alone(stream_texts, source, str(folder / f"{count}-streamed"))
        rows.append(
            (
                f"{count:,}",
                *(f"{result[0]:,.0f} MB" for result in (streamed, at_once, again)),
                f"{streamed[1] / at_once[1]:.2f}x",
                f"{again[1] / streamed[1]:.2f}x",
            )
        )
    headings = (
        "texts",
        "streamed",
        "at once",
        "streamed, all found",
        "processor time, streamed / at once",
        "all found / streamed",
    )
    return tables.markdown(headings, rows)


def write_texts(path: Path, count: int) -> str:
    """Write texts of about 60 characters and labels to Parquet."""
    schema = pa.schema({"text": pa.string(), "label": pa.string()})
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, 50_000):
            numbers = range(start, min(start + 50_000, count))
            texts = [f"text number {number} of some, with a few words more to be short" for number in numbers]
            writer.write_table(pa.table({"text": texts, "label": [f"class {number % 10}" for number in numbers]}, schema))
    return str(path)


def stream_texts(source: str, store: str) -> None:
    """Extract a slice at a time."""
    found = extract_stream(stream_samples(source, COLUMNS), [request()], store, options=OPTIONS)
    assert found.table is not None
    assert len(found.table.labels or ()) == len(found.features[0].rows)


def load_texts(source: str, store: str) -> None:
    """Extract with all samples in memory."""
    wanted = request()
    samples = load_samples(source, COLUMNS)
    found = extract(samples, wanted.backbone, store, options=OPTIONS)
    assert len(found.rows) == len(samples)


def request() -> Request:
    """Return what is wanted of every text."""
    return Request(custom_backbone(embed, name="stub", version=1))


def measure_training(folder: Path, sizes: list[int], rounds: int) -> str:
    """Compare memory and speed of training from disk with those of training in memory."""
    rows = []
    for samples in sizes:
        place = folder / f"features-{samples}"
        write_features(place, samples)
        results: dict[str, list[tuple[float, float]]] = {"memory": [], "disk": []}
        for _ in range(rounds):
            for way, found in results.items():
                found.append(alone(train, str(place), samples, way))
        memory = {way: min(result[0] for result in found) for way, found in results.items()}
        seconds = {way: float(np.median([result[1] for result in found])) for way, found in results.items()}
        rows.append(
            (
                f"{samples:,} x 256 ({samples * 1024 / 1e6:,.0f} MB)",
                f"{memory['memory']:,.0f} MB",
                f"{memory['disk']:,.0f} MB",
                f"{seconds['memory'] / seconds['disk']:.2f}x",
            )
        )
    return tables.markdown(("features", "in memory", "from disk", "speed, share of that in memory"), rows)


def keys_of(start: int, stop: int) -> np.ndarray:
    """Return keys `[n, 16]` of numbered samples, scattered as hashes are."""
    rng = [np.random.default_rng([7, number // 10_000]).bytes(160_000) for number in range(start, stop, 10_000)]
    return as_key_array(rng).reshape(-1, 16)[: stop - start]


def write_features(place: Path, samples: int) -> None:
    """Fill a store with features of 10 classes that overlap."""
    store, centres = FeatureStore(place), np.random.default_rng(0).normal(size=(10, 256)).astype(np.float32)
    for start in range(0, samples, 50_000):
        stop = min(start + 50_000, samples)
        rng = np.random.default_rng(start)
        features = 3 * rng.normal(size=(stop - start, 256)).astype(np.float32) + centres[np.arange(start, stop) % 10]
        store.commit(RECIPE, keys_of(start, stop), {"pooled": features.astype(np.float32)})


def train(place: str, samples: int, way: str) -> None:
    """Fit an MLP for two epochs."""
    store, keys = FeatureStore(place), keys_of(0, samples)
    X: Any = store.read(RECIPE, keys, "pooled") if way == "memory" else store.rows(RECIPE, keys, "pooled")
    MLPHead(hidden=(256,), max_epochs=2, device="cpu").fit(X, np.arange(samples) % 10)


def alone(work: Callable[..., None], *given: Any) -> tuple[float, float]:
    """Do something in a process of its own; return megabytes beyond what stood there before, and processor seconds."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, work, given))
    process.start()
    result: tuple[float, float] = receiver.recv()
    process.join()
    return result


def _measure(sender: Any, work: Callable[..., None], given: tuple[Any, ...]) -> None:
    import torch

    import extract.loop  # noqa: F401

    torch.set_num_threads(1)
    before, began = _peak(), time.process_time()
    work(*given)
    sender.send((_peak() - before, time.process_time() - began))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
