"""A cell's job as it goes to a process of its own, and how that process is run."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import pipelines
from pipelines.compare.cells import Cell, Record
from pipelines.compare.split import Split


@dataclass(frozen=True)
class Job:
    """What a worker is told.

    Attributes
    ----------
    config
        The run's `config.yaml`.
    store
        The feature store with the backbone's features.
    method, seed, params
        As in `Cell`.
    split
        The samples, with the labels of those that a method may see; None for the extraction.
    classes
        How many classes there are to learn.
    outputs
        What the head stands on; the first one is what is fine-tuned through.
    """

    config: str
    store: str
    method: str
    seed: int
    params: dict[str, Any]
    split: Split | None
    classes: int
    outputs: list[str]

    @classmethod
    def of(cls, cell: Cell, config: Path, store: Path) -> "Job":
        """Make a cell's job."""
        known = cell.settings["classes"], cell.settings["outputs"]
        return cls(str(config), str(store), cell.method, cell.seed, cell.params, cell.split, *known)

    def to_json(self) -> str:
        """Write it down."""
        told = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "split"}
        split = None if self.split is None else {name: part.tolist() for name, part in vars(self.split).items()}
        return json.dumps(told | {"split": split})

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Read it back."""
        told = json.loads(text)
        split = told.pop("split")
        arrays = None if split is None else Split(**{name: np.array(part, dtype=np.int64) for name, part in split.items()})
        return cls(**told, split=arrays)


def run_job(job: Job, show: bool = False) -> Record:
    """Run a job in a process of its own, so that its memory and time are its own; a failure is part of the record.

    Parameters
    ----------
    job
        What to do.
    show
        Whether the process may write to standard error.
    """
    with tempfile.TemporaryDirectory(prefix="headstart-cell-") as folder:
        place = Path(folder)
        (place / "job.json").write_text(job.to_json(), encoding="utf-8")
        root = str(Path(pipelines.__file__).parents[1])
        paths = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
        command = [sys.executable, "-m", "pipelines.compare.worker", folder]
        environment = os.environ | {"PYTHONPATH": paths}
        done = subprocess.run(  # noqa: S603  (our own module)
            command,
            env=environment,
            stderr=None if show else subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            check=False,
            process_group=0 if os.name == "posix" else None,  # Ctrl-C stops this process, which ends that one without a word
        )
        try:
            content = json.loads((place / "record.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return Record({"error": _ended(done.returncode, (done.stderr or b"").decode(errors="replace"))})
        answers = place / "answers.npy"
        return Record(content, np.load(answers, allow_pickle=False) if answers.exists() else None)


def _ended(status: int, told: str) -> str:
    if status < 0:
        return f"its process was killed by signal {-status}" + (" (out of memory?)" if status == -9 else "")
    last = (told.strip().splitlines() or ["it said nothing"])[-1]
    return f"its process ended with status {status}: {last[:300]}"
