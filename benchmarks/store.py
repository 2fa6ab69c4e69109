"""The feature store beside what people keep features in: `python -m benchmarks.store [--part ways|reading|growth]`.

`ways` writes the same features in eight ways and reads them in order, in random batches of 1,024, and 1,000 at a time by
content; needs the extra `[bench]`. `reading` compares with `numpy.fromfile` and fancy indexing on a plain `numpy.memmap`.
`growth` measures opening and looking up 100,000 keys at 10^4 to 10^7 rows, and draws docs/images/store-growth.svg.
Everything is read from the page cache; every figure is the median of rounds in which the ways take turns.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tables
from cache import FeatureStore, Recipe

ROOT = Path(__file__).parents[1]
BATCH = 1024
RECIPE = Recipe("bench", None, "w", {})
HALF = Recipe("bench", None, "w", {}, dtype="float16")


class Way:
    """One way of keeping features `[n, d]` under keys `[n, 16]`; the ways below say how they write and read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, keys: np.ndarray, features: np.ndarray) -> None:
        raise NotImplementedError

    def in_order(self) -> np.ndarray:
        raise NotImplementedError

    def batch(self, rows: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def by_content(self, keys: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class Headstart(Way):
    def write(self, keys: np.ndarray, features: np.ndarray) -> None:
        store = FeatureStore(self.folder)
        step = max(1, 128 * 2**20 // features[0].nbytes)
        for start in range(0, len(keys), step):
            store.commit(RECIPE, keys[start : start + step], {"x": features[start : start + step]})
        self.store, self.keys = store, keys
        self.rows = store.rows(RECIPE, keys, "x")

    def in_order(self) -> np.ndarray:
        return self.store.read(RECIPE, self.keys, "x")

    def batch(self, rows: np.ndarray) -> np.ndarray:
        return self.rows[rows]

    def by_content(self, keys: np.ndarray) -> np.ndarray:
        return self.store.read(RECIPE, keys, "x")


class OneArray(Way):
    def write(self, keys: np.ndarray, features: np.ndarray) -> None:
        self.folder.mkdir()
        np.save(self.folder / "x.npy", features)
        self.place = {key.tobytes(): row for row, key in enumerate(keys)}

    def in_order(self) -> np.ndarray:
        return np.load(self.folder / "x.npy")

    def batch(self, rows: np.ndarray) -> np.ndarray:
        return np.load(self.folder / "x.npy", mmap_mode="r")[rows]

    def by_content(self, keys: np.ndarray) -> np.ndarray:
        return self.batch(np.array([self.place[key.tobytes()] for key in keys]))


class FilePerSample(Way):
    def write(self, keys: np.ndarray, features: np.ndarray) -> None:
        import torch

        self.folder.mkdir()
        self.names = [key.tobytes().hex() for key in keys]
        for name, feature in zip(self.names, features, strict=True):
            torch.save(torch.from_numpy(feature), self.folder / f"{name}.pt")

    def _load(self, names: Sequence[str]) -> np.ndarray:
        import torch

        return torch.stack([torch.load(self.folder / f"{name}.pt", weights_only=True) for name in names]).numpy()

    def in_order(self) -> np.ndarray:
        return self._load(self.names)

    def batch(self, rows: np.ndarray) -> np.ndarray:
        return self._load([self.names[row] for row in rows])

    def by_content(self, keys: np.ndarray) -> np.ndarray:
        return self._load([key.tobytes().hex() for key in keys])


class KeyValue(Way):
    """A store of bytes under bytes; what `_open` returns gives and takes them."""

    def write(self, keys: np.ndarray, features: np.ndarray) -> None:
        self.keys, self.width, self.dtype = [key.tobytes() for key in keys], features.shape[1], features.dtype
        self._put(zip(self.keys, map(np.ndarray.tobytes, features), strict=True))

    def _put(self, items: Any) -> None:
        raise NotImplementedError

    def _get(self, keys: Sequence[bytes]) -> list[bytes]:
        raise NotImplementedError

    def _read(self, keys: Sequence[bytes]) -> np.ndarray:
        return np.frombuffer(b"".join(self._get(keys)), self.dtype).reshape(len(keys), self.width)

    def in_order(self) -> np.ndarray:
        return self._read(self.keys)

    def batch(self, rows: np.ndarray) -> np.ndarray:
        return self._read([self.keys[row] for row in rows])

    def by_content(self, keys: np.ndarray) -> np.ndarray:
        return self._read([key.tobytes() for key in keys])


class LMDB(KeyValue):
    def _put(self, items: Any) -> None:
        import lmdb

        self.environment = lmdb.open(str(self.folder), map_size=2**36)
        with self.environment.begin(write=True) as transaction:
            transaction.cursor().putmulti(items)

    def _get(self, keys: Sequence[bytes]) -> list[bytes]:
        with self.environment.begin() as transaction:
            return [transaction.get(key) for key in keys]


class DiskCache(KeyValue):
    def _put(self, items: Any) -> None:
        import diskcache

        self.cache = diskcache.Cache(str(self.folder), size_limit=2**40)
        with self.cache.transact():
            for key, value in items:
                self.cache[key] = value

    def _get(self, keys: Sequence[bytes]) -> list[bytes]:
        return [self.cache[key] for key in keys]


class ArrayFile(Way):
    """An array on disk that is read by slices and row numbers, with a dictionary of keys in memory."""

    array: Any

    def write(self, keys: np.ndarray, features: np.ndarray) -> None:
        self.folder.mkdir()
        self.place = {key.tobytes(): row for row, key in enumerate(keys)}
        self._keep(features)

    def _keep(self, features: np.ndarray) -> None:
        raise NotImplementedError

    def _pick(self, rows: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def in_order(self) -> np.ndarray:
        return self.array[:]

    def batch(self, rows: np.ndarray) -> np.ndarray:
        unique, back = np.unique(rows, return_inverse=True)
        return self._pick(unique)[back]

    def by_content(self, keys: np.ndarray) -> np.ndarray:
        return self.batch(np.array([self.place[key.tobytes()] for key in keys]))


class CompressedHDF5(ArrayFile):
    def _keep(self, features: np.ndarray) -> None:
        import h5py

        file = h5py.File(self.folder / "x.h5", "w")
        self.array = file.create_dataset(
            "x", data=features, chunks=(min(256, len(features)), features.shape[1]), compression="gzip"
        )
        file.flush()

    def _pick(self, rows: np.ndarray) -> np.ndarray:
        return self.array[rows]


class Zarr(ArrayFile):
    def _keep(self, features: np.ndarray) -> None:
        import zarr

        chunks = (min(4096, len(features)), features.shape[1])
        self.array = zarr.create_array(str(self.folder / "x.zarr"), shape=features.shape, chunks=chunks, dtype=features.dtype)
        self.array[:] = features

    def _pick(self, rows: np.ndarray) -> np.ndarray:
        return self.array.oindex[rows]


class Parquet(ArrayFile):
    def _keep(self, features: np.ndarray) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.width = features.shape[1]
        column = pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), self.width)
        pq.write_table(pa.table({"x": column}), self.folder / "x.parquet", row_group_size=4096)

    def in_order(self) -> np.ndarray:
        import pyarrow.parquet as pq

        return pq.read_table(self.folder / "x.parquet")["x"].combine_chunks().flatten().to_numpy().reshape(-1, self.width)

    def _pick(self, rows: np.ndarray) -> np.ndarray:
        return self.in_order()[rows]


WAYS: dict[str, type[Way]] = {
    "headstart": Headstart,
    "one .npy, keys in a dict": OneArray,
    "one .pt a sample": FilePerSample,
    "LMDB": LMDB,
    "diskcache": DiskCache,
    "Parquet": Parquet,
    "HDF5, chunks, gzip": CompressedHDF5,
    "zarr": Zarr,
}


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("ways", "reading", "growth"), action="append")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for part in options.part or ("ways", "reading", "growth"):
        with tempfile.TemporaryDirectory() as folder:
            {"ways": _ways, "reading": _reading, "growth": _growth}[part](Path(folder), options.rows, options.rounds)


def _ways(folder: Path, rows: int, rounds: int) -> None:
    keys, features = _keys(rows), np.random.default_rng(1).normal(size=(rows, 768)).astype(np.float32)
    ways = {name: kind(folder / name.replace(" ", "-")) for name, kind in WAYS.items()}
    written = {name: _seconds(lambda way=way: way.write(keys, features)) for name, way in ways.items()}
    rng = np.random.default_rng(2)
    batch, some = rng.integers(0, rows, BATCH), keys[rng.integers(0, rows, 1000)]
    jobs: dict[str, Callable[[Way], np.ndarray]] = {
        "in order": lambda way: way.in_order(),
        "batch": lambda way: way.batch(batch),
        "content": lambda way: way.by_content(some),
    }
    for name, way in ways.items():
        assert np.array_equal(way.in_order(), features), name
        assert np.array_equal(way.batch(batch), features[batch]), name
    found = {job: _medians({name: partial(run, way) for name, way in ways.items()}, rounds) for job, run in jobs.items()}
    base = "headstart"
    body = [
        (
            name,
            f"{written[name] / written[base]:.2f}x",
            *(f"{found[job][name] / found[job][base]:.2f}x" for job in jobs),
            f"{_size(ways[name].folder) / features.nbytes:.2f}",
        )
        for name in WAYS
    ]
    seconds = ", ".join(f"{job} {found[job][base] * 1000:.2f} ms" for job in jobs)
    print(f"{rows:,} rows of 768 float32; headstart itself: writing {written[base]:.2f} s, {seconds}\n")
    print(
        tables.markdown(("way", "writing", "in order", "1,024 at random", "1,000 by content", "bytes of data on disk"), body),
        "\n",
    )


def _reading(folder: Path, rows: int, rounds: int) -> None:
    sizes = ((rows, 768, RECIPE), (rows * 2, 384, RECIPE), (rows * 12, 64, HALF))
    body = [_read_against_numpy(folder / str(width), count, width, recipe, rounds) for count, width, recipe in sizes]
    headings = ("features", "in order, share of numpy.fromfile's speed", "1,024 at random, share of numpy.memmap's")
    print(tables.markdown(headings, body), "\n")


def _read_against_numpy(folder: Path, count: int, width: int, recipe: Recipe, rounds: int) -> tuple[str, str, str]:
    keys = _keys(count)
    features = np.random.default_rng(1).normal(size=(count, width)).astype(recipe.dtype)
    store = FeatureStore(folder)
    for part in np.array_split(np.arange(count), 3):
        store.commit(recipe, keys[part], {"x": features[part]})
    features.tofile(folder / "plain")
    plain = np.memmap(folder / "plain", features.dtype, "r", shape=features.shape)
    handle = store.rows(recipe, keys, "x")
    batches = iter(np.random.default_rng(2).integers(0, count, (10_000, BATCH)))
    order = {"store": lambda: store.read(recipe, keys, "x"), "fromfile": lambda: np.fromfile(folder / "plain", features.dtype)}
    random = {"store": lambda: handle[next(batches)], "memmap": lambda: plain[next(batches)]}
    ordered, scattered = _medians(order, 5 * rounds), _medians(random, 50 * rounds)
    name = f"{count:,} x {width} {recipe.dtype}"
    return name, f"{ordered['fromfile'] / ordered['store']:.2f}x", f"{scattered['memmap'] / scattered['store']:.2f}x"


def _growth(folder: Path, rows: int, rounds: int) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    sizes, measured = (10**4, 10**5, 10**6, 10**7), []
    for size in sizes:
        measured.append(_grow(folder / str(size), size, rounds))
        shutil.rmtree(folder / str(size))
    body = [
        (f"{size:,}", *(f"{value:.3f} s" for value in row[:4]), f"{row[4] / 1e6:,.1f} MB")
        for size, row in zip(sizes, measured, strict=True)
    ]
    headings = (
        "rows",
        "opening, checking, indexing",
        "opening again",
        "missing, 100,000 keys",
        "read, 100,000 rows",
        "index on disk",
    )
    print(tables.markdown(headings, body), "\n")
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for column, label in enumerate(headings[1:5]):
        axes.loglog(sizes, [row[column] for row in measured], marker="o", label=label)
    axes.set(xlabel="rows in the store", ylabel="seconds")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(ROOT / "docs/images/store-growth.svg")


def _grow(place: Path, size: int, rounds: int) -> tuple[float, float, float, float, int]:
    keys, store = _keys(size), FeatureStore(place)
    for part in np.array_split(np.arange(size), max(1, size // 10**6)):
        store.commit(HALF, keys[part], {"x": np.zeros((len(part), 64), np.float16)})
    first, again = (_seconds(lambda: FeatureStore(place).missing(HALF, keys[:1], ["x"])) for _ in range(2))
    some = keys[np.random.default_rng(3).integers(0, size, 100_000)]
    opened = FeatureStore(place)
    ways = {"missing": lambda: opened.missing(HALF, some, ["x"]), "read": lambda: opened.read(HALF, some, "x")}
    found = _medians(ways, rounds)
    return first, again, found["missing"], found["read"], sum(path.stat().st_size for path in place.rglob("*.idx"))


def _keys(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16), dtype=np.uint8)


def _size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _medians(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Let ways take turns; return the median time of each."""
    for way in ways.values():
        way()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(_seconds(way))
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


if __name__ == "__main__":
    main()
