"""Streams: data sets that are read a slice of samples at a time, since they need not fit into memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from extract.samples import Samples

SLICE_SAMPLES = 2**16
SLICE_BYTES = 2**27
"""What is read of a slice before the next one begins: the sooner of both ends it."""


Part = Callable[[], Iterator[Samples]]
"""Begins to read a part of a stream."""


@dataclass(frozen=True)
class SampleStream:
    """A data set that comes in slices, in its order.

    Attributes
    ----------
    name
        The data set's name, for people.
    read
        Begins to read from the start. A sample that cannot be used comes with its fault, and so does a place that cannot be
        read, as a sample that stands for all that is lost there.
    cut
        Returns the parts that it can be read in, also by other processes and at the same time; None where it has none.
    """

    name: str
    read: Callable[[], Iterator[Samples]]
    cut: Callable[[], Sequence[Part]] | None = None

    def gather(self, wanted: Callable[[Samples, int], bool]) -> Samples:
        """Read all, and return those of a slice's rows that are wanted, in memory.

        Parameters
        ----------
        wanted
            Tells by a slice and a row in it.
        """
        parts = [part.take([row for row in range(len(part)) if wanted(part, row)]) for part in self]
        parts = [part for part in parts if len(part)]

        def of(column: str) -> list[Any] | None:
            columns = [getattr(part, column) for part in parts]
            return None if not columns or columns[0] is None else [value for part in columns for value in part]

        starts = np.cumsum([0, *map(len, parts)]).tolist()
        faults = {start + row: why for start, part in zip(starts, parts, strict=False) for row, why in part.faults.items()}
        columns = of("labels"), of("splits"), of("groups")
        return Samples(self.name, of("inputs") or [], of("ids") or [], *columns, faults=faults)

    def __iter__(self) -> Iterator[Samples]:
        return self.read()


def lost(name: str, place: str, reason: str) -> Samples:
    """Return a slice that says that something at a place cannot be read."""
    return Samples(name, [None], [place], faults={0: reason})
