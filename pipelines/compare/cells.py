"""Cells: the pieces of work of a comparison, each under a digest of all that determines it, kept in the run's folder."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache.atomic import write_atomically
from pipelines.compare.split import Split

VERSION = 1
"""Raised when the same cell would come to another result."""

EXTRACTION = "extraction"


@dataclass(frozen=True)
class Cell:
    """One training of one method, or all penalties of a head on cached features, or the extraction.

    Attributes
    ----------
    method
        One of `METHODS`, or `extraction`.
    seed, size
        Of the samples that it trains on; size is labelled samples a class, or `all`.
    params
        What the trial tries.
    settings
        All else that it depends on.
    split
        Its samples; None for the extraction.
    """

    method: str
    seed: int
    size: int | str
    params: dict[str, Any]
    settings: dict[str, Any]
    split: Split | None = field(repr=False)

    @property
    def digest(self) -> str:
        """32 hexadecimal digits; equal if and only if everything is that determines the result."""
        parts = [] if self.split is None else [self.split.train, self.split.validation, self.split.test]
        codes = [] if self.split is None else [self.split.train_codes, self.split.validation_codes]
        hashed = hashlib.blake2b(digest_size=16)
        told = {"version": VERSION, "method": self.method, "seed": self.seed, "params": self.params, "settings": self.settings}
        hashed.update(json.dumps(told, sort_keys=True).encode())
        for array in (*parts, *codes):
            hashed.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
            hashed.update(b"|")
        return hashed.hexdigest()

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        told = ", ".join(f"{name} {value:g}" if isinstance(value, float) else name for name, value in self.params.items())
        return self.method if self.split is None else f"{self.method}, {self.size} a class, seed {self.seed}, {told}"


@dataclass(frozen=True)
class Record:
    """What a cell gave.

    Attributes
    ----------
    content
        As it stands in the cell's file: `validation`, `chosen`, `seconds`, `memory`, ...; or `error`.
    answers
        Logits of the test samples `[t, c]`; None where there are none.
    """

    content: dict[str, Any]
    answers: np.ndarray | None = None

    @property
    def error(self) -> str | None:
        """Why it failed, in a line; None if it did not."""
        return self.content.get("error")


class CellFolder:
    """The cells of a run: `DIGEST.json`, and `DIGEST.npy` with what was said of the test samples.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, cell: Cell) -> Record | None:
        """Return a cell's record; None where it is not there whole."""
        place = self.path / f"{cell.digest}.json"
        try:
            content = json.loads(place.read_text(encoding="utf-8"))
            if content.get("error") is not None or cell.split is None:
                return Record(content)
            return Record(content, np.load(place.with_suffix(".npy"), allow_pickle=False))
        except (OSError, ValueError):
            return None

    def write(self, cell: Cell, record: Record) -> None:
        """Keep a cell's record: the answers first, so that a record that is there is whole."""
        place = self.path / f"{cell.digest}.json"
        if record.answers is not None:
            import io

            content = io.BytesIO()
            np.save(content, record.answers.astype(np.float32), allow_pickle=False)
            write_atomically(place.with_suffix(".npy"), content.getbuffer())
        write_atomically(place, json.dumps(describe(cell) | record.content, indent=2).encode())


def describe(cell: Cell) -> dict[str, Any]:
    """Return what a cell is, for its file."""
    told = {"method": cell.method, "seed": cell.seed, "size": cell.size, "params": cell.params, "settings": cell.settings}
    if cell.split is not None:
        told["samples"] = {"train": len(cell.split.train), "validation": len(cell.split.validation)}
    return told
