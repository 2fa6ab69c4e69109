"""Cached features against fine-tuning on real weights: `python -m benchmarks.compare [--only trec] [--seeds 3] [--size 50]`.

Runs `headstart compare` on the configs of the same names, whole or on so many labelled samples a class, and prints tables
beside the claims that a frozen backbone takes a twelfth of the time, a quarter of the memory and a tenth of the data. Cells
that are in the folder are not run again, so that a run may be stopped and gone on with; `--cached` prints what is there.
`--side-by-side 12` runs cells of different methods and sizes in so many processes first, where accuracies are what is asked
for: their times say little then. On a GPU times are wall time and memory is the device's.
"""

import argparse
import multiprocessing
import shutil
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import tables
from pipelines import console
from pipelines.compare.cells import Record
from pipelines.compare.job import Job
from pipelines.compare.running import compare_methods
from pipelines.compare.worker import work
from pipelines.compare_config import CACHED
from pipelines.config import Config
from pipelines.config_file import load_config
from pipelines.errors import RunError
from pipelines.recommend import recommend

ROOT = Path(__file__).parents[1]
SETTINGS: dict[str, tuple[str, ...]] = {
    "trec": ("backbones.0.max_length=128",),
    "r8": ("backbones.0.max_length=256",),
    "demo": ("backbones.0.max_length=128",),
    "cifar10": ("compare.augment=flip-crop",),
}
"""Data set -> changes to its config."""

RATES = {
    "text": "{full: [1e-4, 3e-4], lpft: [1e-4, 3e-4], partial: [3e-4, 1e-3], lora: [1e-3, 3e-3]}",
    "image": "{full: [2e-4, 1e-3], lpft: [2e-4, 1e-3], partial: [5e-4, 2e-3], lora: [1e-3, 5e-3]}",
}
"""Two learning rates a method, higher than for encoders of BERT's size: these backbones are small."""

CLAIMS = {"time": 12, "memory": 4}
METHODS = ("features", "layers", "full", "partial", "lora", "lpft")
BUDGETS = ("1m", "1h", "24h")


def main() -> None:
    """Compare and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(SETTINGS), action="append", help="some data sets")
    parser.add_argument("--methods", choices=METHODS, nargs="+", default=list(METHODS), help="some methods")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", nargs="+", default=["10", "50", "all"], help="labelled samples a class")
    parser.add_argument("--epochs", type=int, help="10, on few samples more")
    parser.add_argument("--side-by-side", type=int, default=1, help="processes in which cells are run first")
    parser.add_argument("--folder", default="runs", help="where comparisons are kept")
    parser.add_argument("--figures", help="where pictures go, as compare-NAME-*.png")
    parser.add_argument("--cached", action="store_true", help="run nothing, print what is there")
    parser.add_argument("--recommend", action="store_true", help="also what `headstart recommend` says")
    options = parser.parse_args()
    if options.side_by_side > 1:
        run_side_by_side(options)
    for name in options.only or SETTINGS:
        config = config_of(name, options)
        if not is_here(config):
            print(f"{config.data.path} is not here\n")
            continue
        run = Path(options.folder) / f"compare-{name}"
        try:
            found = compare_methods(config, str(run), console.note, new_cells=not options.cached).to_json()
        except RunError as error:
            print(f"{name}: {error}\n")
            continue
        show(name, config, found)
        if options.recommend:
            advise(run)
        if options.figures:
            for picture in (run / "figures").glob("*.png"):
                shutil.copy(picture, Path(options.figures) / f"compare-{name}-{picture.name.replace('_', '-')}")


def run_side_by_side(options: argparse.Namespace) -> None:
    """Run the cells of every data set, method and size in processes of their own folders, and gather them."""
    names = [name for name in options.only or SETTINGS if is_here(config_of(name, options))]
    heads = [method for method in options.methods if method in CACHED]
    tuned = [method for method in options.methods if method not in CACHED]
    own = {"side_by_side": 1, "only": None}
    first = [(name, argparse.Namespace(**vars(options) | own | {"methods": heads}), None) for name in names]
    lanes = [
        (name, argparse.Namespace(**vars(options) | own | {"methods": [method], "size": [size]}), f"{name}-{method}-{size}")
        for size in reversed(options.size)
        for name in reversed(names)
        for method in tuned
    ]
    with ProcessPoolExecutor(options.side_by_side, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(run_lane, first))
        list(pool.map(run_lane, lanes))


def run_lane(lane: tuple[str, argparse.Namespace, str | None]) -> None:
    """Run a part of a comparison in this process; in a folder of its own where one is named, with the cells of all."""
    name, options, own = lane
    warnings.simplefilter("ignore")
    whole = Path(options.folder) / f"compare-{name}"
    run = whole if own is None else Path(options.folder) / "lanes" / own
    if own is not None and not run.exists():
        shutil.copytree(whole, run, ignore=shutil.ignore_patterns("cells"))
        (run / "cells").symlink_to((whole / "cells").resolve())
    config = config_of(name, options)
    try:
        compare_methods(config, str(run), quiet=True, runner=run_here)
    except RunError as error:
        print(f"{own or name}: {error}", flush=True)


def run_here(job: Job, show: bool) -> Record:
    """Run a job in this process."""
    return Record(*work(job))


def config_of(name: str, options: argparse.Namespace) -> Config:
    """Read a data set's config, with its changes."""
    return load_config(ROOT / "configs" / f"{name}.yaml", changes_of(name, options))


def is_here(config: Config) -> bool:
    """Tell whether a config's data are on this machine."""
    return Path(str(config.data.path)).exists()


def changes_of(name: str, options: argparse.Namespace) -> list[str]:
    """Return the changes to a data set's config."""
    kind = "image" if name == "cifar10" else "text"
    compare = {
        "methods": f"[{', '.join(options.methods)}]",
        "seeds": options.seeds,
        "sizes": f"[{', '.join(options.size)}]",
        "trials": 2,
        "search": "first",
        **({} if options.epochs is None else {"epochs": options.epochs}),
        "min_steps": 64,
        "penalties": "[1e-2, 1e-1]",
        "learning_rates": RATES[kind],
    }
    return ["outputs=layers", *(f"compare.{key}={value}" for key, value in compare.items()), *SETTINGS[name]]


def show(name: str, config: Config, found: dict[str, Any]) -> None:
    """Print a comparison's tables."""
    samples = found["samples"]
    print(f"\n{name}: {found['backbone']}, {found['classes']} classes, {samples['test']:,} test samples\n")
    full = {row["size"]: row for row in found["standings"] if row["method"] == "full"}
    print(tables.markdown(SCORES, [scores(row) for row in found["standings"]]), "\n")
    on_gpu = found["standings"][0]["costs"]["memory"]["device"] is not None
    headings = [text.replace("cpu s", "s").replace("above libraries", "on the GPU") if on_gpu else text for text in COSTS]
    print(tables.markdown(headings, [costs(row, full.get(row["size"])) for row in found["standings"]]), "\n")
    for size, share in found["closed"].items():
        print(f"layers close {share:.0%} of the gap between the last layer and full fine-tuning ({size} a class)")
    print(f"claimed of features against full: {CLAIMS['time']}x faster, {CLAIMS['memory']}x less memory", flush=True)


def advise(run: Path) -> None:
    """Print what `headstart recommend` says of a run's samples, for several budgets."""
    for budget in BUDGETS:
        found = recommend(run, budget).to_json()
        gain = found["gain"]
        print(f"recommend --budget {budget}: {found['answer']}, {100 * gain['low']:+.1f} to {100 * gain['high']:+.1f} points")


SCORES = ("method", "a class", "labelled", "seeds", "accuracy, 95% interval", "F1 macro", "to full, 95% interval")
COSTS = (
    "method",
    "a class",
    "search, cpu s",
    "once, cpu s",
    "full is slower by",
    "memory above libraries",
    "full takes",
    "epochs",
    "energy",
)


def scores(row: dict[str, Any]) -> tuple[str, ...]:
    """Write a method's scores."""
    accuracy, against = row["test"]["accuracy"], row["against"]
    return (
        row["method"],
        str(row["size"]),
        f"{row['labelled']:,.0f}",
        str(len(row["seeds"])),
        f"{accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f})",
        f"{row['test']['f1_macro']['value']:.3f}",
        "" if against is None else "{mean:+.3f} ({low:+.3f} to {high:+.3f})".format(**against["accuracy"]),
    )


def costs(row: dict[str, Any], full: dict[str, Any] | None) -> tuple[str, ...]:
    """Write a method's costs, and how many times as much full fine-tuning takes."""
    own = row["costs"]
    on_gpu = own["memory"]["device"] is not None
    clock, memory = ("seconds", "device") if on_gpu else ("cpu_seconds", "above_libraries")
    slower = bigger = ""
    if full is not None and full is not row:
        slower = f"{full['costs'][clock]['once'] / own[clock]['once']:.1f}x"
        bigger = f"{full['costs']['memory'][memory] / own['memory'][memory]:.1f}x"
    epochs = "" if own["epochs"] is None else f"{own['best_epoch']:.1f} of {own['epochs']:.1f}"
    return (
        row["method"],
        str(row["size"]),
        f"{own[clock]['search']:.1f}",
        f"{own[clock]['once']:.1f}",
        slower,
        console.size(int(own["memory"][memory])),
        bigger,
        epochs,
        "" if own["energy"] is None else f"{own['energy']['joules'] / 1000:.1f} kJ",
    )


if __name__ == "__main__":
    main()
