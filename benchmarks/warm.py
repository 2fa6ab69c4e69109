"""A command that finds everything cached: `python -m benchmarks.warm [--samples N]`.

Extracts N distinct texts through a tiny random encoder once, then times `headstart extract` over them again, in
processes of their own: the whole command, what its imports alone take, and `headstart --help`.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import tables
from tests.conftest import save_encoder

IMPORTS = "import pipelines.cli, pipelines.console, pipelines.config, pipelines.extract, pyarrow.parquet"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = _prepare(Path(folder), options.samples)
        command = [sys.executable, "-m", "pipelines.cli", "extract", str(config), "--json"]
        cold = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["recipes"][0]
        ways = {
            "headstart extract, all cached": command,
            "its imports alone": [sys.executable, "-c", IMPORTS],
            "headstart --help": [sys.executable, "-m", "pipelines.cli", "--help"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, arguments in ways.items():
                began = time.perf_counter()
                done = subprocess.run(arguments, check=True, capture_output=True, text=True)
                seconds[way].append(time.perf_counter() - began)
                if way.startswith("headstart extract"):
                    warm = json.loads(done.stdout)["recipes"][0]
    median = {way: statistics.median(times) for way, times in seconds.items()}
    work = median["headstart extract, all cached"] - median["its imports alone"]
    print(f"\n{warm['samples']:,} samples: {cold['extracted']:,} extracted at first, then {warm['cached']:,} found in cache, "
          f"{warm['extracted']:,} extracted, backbone loaded: {str(warm['backbone_loaded']).lower()}\n")  # fmt: skip
    rows = [(way, f"{took:.2f} s") for way, took in median.items()]
    print(tables.markdown(("command", "time"), [*rows, ("work beyond imports", f"{work:.2f} s")]))


def _prepare(folder: Path, samples: int) -> Path:
    save_encoder(folder / "tiny")
    with open(folder / "texts.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((f"sample number {n}: the plot was good and the acting was very dull", n % 2) for n in range(samples))
    (folder / "config.yaml").write_text(
        "data: {path: texts.csv, label: label}\nstore: features\nbackbones: ['hf:tiny']\n", encoding="utf-8"
    )
    return folder / "config.yaml"


if __name__ == "__main__":
    main()
