"""How an extraction scales: what it costs beside the backbone, by the number of rows; and two processes against one.

    python -m benchmarks.scaling --rows 100000 1000000 10000000 [--plot docs/pictures/scaling.svg]
    python -m benchmarks.scaling --ranks
    python -m benchmarks.scaling --predict

The first goes the whole way of a data set that does not fit into memory (Parquet files, keys, what is missing, shards,
the table, reading back) with a backbone that costs next to nothing, so that what is measured is everything else. Each size
runs in a process of its own. The second extracts the same texts with a real transformer that is bound to one thread, by one
process and by two ranks, in turns. The third measures nothing: it multiplies out what the page says of sizes and costs.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 8
ROWS_PER_FILE = 1_000_000
READ_AT_ONCE = 65_536


def features_of(texts: list[str]) -> np.ndarray:
    """Stand for a backbone: `[n, 8]`, from the number that a text is."""
    numbers = np.array(texts, "S12").astype(np.float64)
    return (numbers[:, None] * 2.0 ** -np.arange(WIDTH)).astype(np.float32)


def write_source(folder: Path, rows: int) -> None:
    """Write rows of one short text each, in Parquet files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for start in range(0, rows, ROWS_PER_FILE):
        numbers = np.arange(start, min(start + ROWS_PER_FILE, rows))
        texts = pa.array(np.char.zfill(numbers.astype("U12"), 12))
        pq.write_table(pa.table({"text": texts}), folder / f"part-{start // ROWS_PER_FILE:05d}.parquet", row_group_size=65_536)


def memory() -> dict[str, float]:
    """Return this process's memory now and at most so far, in MB: all, and what is no file's."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {name: int(status[key].split()[0]) / 1024 for name, key in (("now", "VmRSS"), ("most", "VmHWM"), ("own", "RssAnon"))}


class Watch:
    """Measures phases: wall and CPU seconds of this process."""

    def __init__(self) -> None:
        self.phases: dict[str, dict[str, float]] = {}

    def __call__(self, name: str, work: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        done = work()
        self.phases[name] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu} | memory()
        return done


def measure(folder: Path, rows: int) -> dict[str, Any]:
    """Take `rows` rows all the way, and return what that cost."""
    import extract.loop  # noqa: F401  (torch and the rest are in memory before anything is measured)
    from extract import LoopOptions, Request, custom_backbone, extract_stream, stream_samples

    source = folder / "source"
    source.mkdir()
    write_source(source, rows)
    stub = custom_backbone(features_of, name="stub", version=1)
    options = LoopOptions(budget=16_384)
    before, watch = memory(), Watch()

    def go() -> Any:
        return extract_stream(stream_samples(str(source / "*.parquet")), [Request(stub)], folder / "store", options=options)

    first = watch("extract", go)
    again = watch("again", go)
    found = again.features[0]
    assert (first.features[0].extracted, found.cached, found.extracted) == (rows, rows, 0)
    store = watch("open", lambda: opened(folder / "store", found.recipe, found.keys[:1]))

    def read_back() -> None:
        held = store.rows(found.recipe, found.keys, "pooled")
        for start in range(0, rows, READ_AT_ONCE):
            piece = np.asarray(held[start : start + READ_AT_ONCE])
            assert (piece[:, 0] == np.arange(start, start + len(piece), dtype=np.float32)).all()

    watch("read", read_back)
    shards = store.shards(found.recipe)
    sizes = {
        part: sum(path.stat().st_size for path in (folder / "store").rglob(f"*.{part}")) for part in ("h5", "parquet", "idx")
    }
    return {"rows": rows, "shards": len(shards), "before": before, "phases": watch.phases, "bytes": sizes}


def opened(path: Path, recipe: Any, keys: np.ndarray) -> Any:
    """Open a store anew and look one row up."""
    from cache import FeatureStore

    store = FeatureStore(path)
    assert not store.missing(recipe, keys, ["pooled"]).any()
    return store


def run_sizes(sizes: list[int], plot: Path | None) -> None:
    found = []
    for rows in sizes:
        command = [sys.executable, "-m", "benchmarks.scaling", "--measure", str(rows)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(found[-1]), file=sys.stderr)
    print(table(found))
    if plot is not None:
        draw(found, plot)


def table(found: list[dict[str, Any]]) -> str:
    """Return what was measured as a table in Markdown."""
    lines = [
        "| rows | shards | extract, CPU s | µs/row | ms/shard | again, µs/row | open, s | read, MB/s "
        "| most memory above the start, MB | kept at the end, bytes/row |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        rows, shards, phases = one["rows"], one["shards"], one["phases"]
        cpu = phases["extract"]["cpu"]
        own = phases["read"]["own"] - one["before"]["own"]
        lines.append(
            f"| {rows:,} | {shards:,} | {cpu:.1f} | {cpu / rows * 1e6:.1f} | {cpu / shards * 1e3:.0f} "
            f"| {phases['again']['cpu'] / rows * 1e6:.1f} | {phases['open']['wall']:.2f} "
            f"| {rows * WIDTH * 4 / phases['read']['wall'] / 1e6:.0f} | {phases['extract']['most'] - one['before']['now']:.0f} "
            f"| {own * 2**20 / rows:.0f} |"
        )
    return "\n".join(lines)


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Plot memory and cost per shard by rows."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    rows = [one["rows"] for one in found]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for phase in ("extract", "again", "read"):
        axes[0].loglog(rows, [one["phases"][phase]["most"] - one["before"]["now"] for one in found], "o-", label=phase)
    axes[0].set(xlabel="rows", ylabel="memory at most, MB above the start")
    axes[1].semilogx(rows, [one["phases"]["extract"]["cpu"] / one["shards"] * 1e3 for one in found], "o-", label="extract")
    axes[1].semilogx(rows, [one["phases"]["again"]["cpu"] / one["shards"] * 1e3 for one in found], "o-", label="again")
    axes[1].set(xlabel="rows", ylabel="CPU per shard, ms", ylim=(0, None))
    for one in axes:
        one.legend()
        one.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


RANK = """
import os, sys, time
import torch
torch.set_num_threads(1)
from benchmarks.scaling import ranks_texts
from extract import LoopOptions, extract
from extract.ranks import Rank

texts = ranks_texts(int(sys.argv[2]))
extract(texts[:8], "all-MiniLM-L6-v2", sys.argv[1] + "-warm")  # imports, weights, first products
began, cpu = time.monotonic(), time.process_time()
extract(texts, "all-MiniLM-L6-v2", sys.argv[1], keep_table=False)
print("took", began, time.monotonic(), time.process_time() - cpu)
"""


def ranks_texts(count: int) -> list[str]:
    """Return texts of different lengths."""
    words = ["the", "film", "was", "good", "awful", "plot", "acting", "music", "we", "loved", "it", "but", "very", "dull"]
    rng = np.random.default_rng(0)
    return [" ".join([*rng.choice(words, rng.integers(5, 60)), str(number)]) for number in range(count)]


def run_ranks(texts: int, repeats: int) -> None:
    """Extract by one process and by two ranks, in turns; print rows a second by the wall clock and by CPU time."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "rank.py"
        program.write_text(RANK)
        print(
            "| run | 1 process, rows/s | 2 ranks, rows/s | efficiency | CPU s, 1 process | CPU s, 2 ranks | efficiency, CPU |"
        )
        print("|---|---|---|---|---|---|---|")
        wall, cpu = [], []
        for repeat in range(repeats):
            took = {of: time_ranks(program, f"{folder}/{repeat}-{of}", texts, of) for of in (1, 2)}
            wall.append(took[1][0] / took[2][0] / 2)
            cpu.append(took[1][1] / took[2][1])
            print(
                f"| {repeat + 1} | {texts / took[1][0]:.1f} | {texts / took[2][0]:.1f} | {wall[-1]:.2f} "
                f"| {took[1][1]:.1f} | {took[2][1]:.1f} | {cpu[-1]:.2f} |",
                flush=True,
            )
        print(f"median efficiency: {np.median(wall):.2f} by the wall clock, {np.median(cpu):.2f} by CPU time")


def time_ranks(program: Path, store: str, texts: int, of: int) -> tuple[float, float]:
    """Return the seconds from the first rank's start to the last one's end, and the CPU seconds of all."""
    common = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": os.getcwd(), "WORLD_SIZE": str(of)}
    common |= {"TORCHELASTIC_RUN_ID": store}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(program), store, str(texts)],
            env=common | {"RANK": str(number), "LOCAL_RANK": str(number)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(of)
    ]
    told = [rank.communicate()[0].split() for rank in ranks]
    began, ended, cpu = (np.array([float(words[words.index("took") + at]) for words in told]) for at in (1, 2, 3))
    return float(ended.max() - began.min()), float(cpu.sum())


KEY, INDEX, TABLE = 16, 24, 19.4
"""Bytes a row: its key in a shard, its entry in the index, its line in the table (measured, with a file and row as its id)."""

GPUS = {"T4": (65, 0.53), "A10G": (70, 1.01), "L4": (121, 0.80), "A100": (312, 3.70), "H100": (989, 5.00)}
"""Peak of dense 16-bit products in TFLOP/s by the vendor, and dollars an hour on demand in a large cloud, rounded."""

MODELS = {"MiniLM-L6, 128 tokens": 2.8, "BERT-base, 128 tokens": 22.5, "ViT-B/16, 224": 35.1, "ViT-L/14, 224": 162.0}
"""GFLOP of one sample's forward pass: twice the products of weights and attention."""

SHARE_OF_PEAK = 0.35


def predict() -> None:
    """Print what stores of very many rows take, and what a million samples cost."""
    print(
        "| rows | width 384, float32 | width 768, float32 | width 768, float16 | index | table | shards of 128 MiB, width 768 |"
    )
    print("|---|---|---|---|---|---|---|")
    for rows in (10**7, 10**8, 10**9, 10**11):
        sizes = [rows * (KEY + bytes_) for bytes_ in (4 * 384, 4 * 768, 2 * 768)]
        cells = [*sizes, rows * INDEX, rows * TABLE]
        print(f"| {rows:.0e} | {' | '.join(_size(cell) for cell in cells)} | {sizes[1] / 2**27:,.0f} |")
    print()
    print(f"| dollars a million samples | {' | '.join(GPUS)} |")
    print("|---" * (len(GPUS) + 1) + "|")
    for model, work in MODELS.items():
        cells = [f"{work * 1e15 / (peak * 1e12 * SHARE_OF_PEAK) / 3600 * price:.2f}" for peak, price in GPUS.values()]
        print(f"| {model} | {' | '.join(cells)} |")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--plot", type=Path, help="where to draw memory and cost per shard, as SVG")
    parser.add_argument("--ranks", action="store_true", help="two ranks against one process instead")
    parser.add_argument("--predict", action="store_true", help="what that means for very many rows, multiplied out")
    parser.add_argument("--texts", type=int, default=3000, help="with --ranks: how many")
    parser.add_argument("--repeats", type=int, default=3, help="with --ranks: how often each is run")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        resource.setrlimit(resource.RLIMIT_DATA, (4 * 2**30, resource.getrlimit(resource.RLIMIT_DATA)[1]))
        folder = Path(tempfile.mkdtemp())
        try:
            print(json.dumps(measure(folder, asked.measure)))
        finally:
            shutil.rmtree(folder)
    elif asked.predict:
        predict()
    elif asked.ranks:
        run_ranks(asked.texts, asked.repeats)
    else:
        run_sizes(asked.rows, asked.plot)


if __name__ == "__main__":
    main()
