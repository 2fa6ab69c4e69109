"""Cached features against fine-tuning on real weights: `python -m benchmarks.compare [--only trec] [--seeds 3] [--size 50]`.

Runs `headstart compare` on the configs of the same names, whole or on so many labelled samples a class, and prints tables
beside the claims that a frozen backbone takes a twelfth of the time, a quarter of the memory and a tenth of the data. Cells
that are in the folder are not run again, so that a run may be stopped and gone on with; `--cached` prints what is there.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

from benchmarks import tables
from pipelines import console
from pipelines.compare.running import compare_methods
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
    parser.add_argument("--folder", default="runs", help="where comparisons are kept")
    parser.add_argument("--figures", help="where pictures go, as compare-NAME-*.png")
    parser.add_argument("--cached", action="store_true", help="run nothing, print what is there")
    parser.add_argument("--recommend", action="store_true", help="also what `headstart recommend` says")
    options = parser.parse_args()
    for name in options.only or SETTINGS:
        config = load_config(ROOT / "configs" / f"{name}.yaml", changes_of(name, options))
        if not Path(str(config.data.path)).exists():
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
    print(tables.markdown(COSTS, [costs(row, full.get(row["size"])) for row in found["standings"]]), "\n")
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
    slower = bigger = ""
    if full is not None and full is not row:
        slower = f"{full['costs']['cpu_seconds']['once'] / own['cpu_seconds']['once']:.1f}x"
        bigger = f"{full['costs']['memory']['above_libraries'] / own['memory']['above_libraries']:.1f}x"
    epochs = "" if own["epochs"] is None else f"{own['best_epoch']:.1f} of {own['epochs']:.1f}"
    return (
        row["method"],
        str(row["size"]),
        f"{own['cpu_seconds']['search']:.1f}",
        f"{own['cpu_seconds']['once']:.1f}",
        slower,
        console.size(int(own["memory"]["above_libraries"])),
        bigger,
        epochs,
    )


if __name__ == "__main__":
    main()
