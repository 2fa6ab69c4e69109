"""A stand-in for Ray that runs tasks and actors in this process."""

from contextlib import contextmanager

import numpy as np


class StandIn:
    """A cluster, and its pool, that does what it is asked here, gives results in any order, and breaks off when told to."""

    size = 2
    fresh_actors = False

    def __init__(self, breaks_after=()):
        self.breaks_after = list(breaks_after)
        self.runs = []

    def pool(self, device):
        return self

    def at_most(self, size):
        return self

    @contextmanager
    def connection(self):
        yield

    def results(self, rows, actor, work, renew, read=None):
        self.runs.append(rows)
        at_work = [actor(work) for _ in range(2)]
        fresh = lambda number: actor(work) if self.fresh_actors else at_work[number]  # noqa: E731
        batches = [{name: [value] for name, value in row.items()} for row in rows]
        pieces = batches if read is None else [piece for batch in batches for piece in read(batch, work)]
        limit = self.breaks_after.pop(0) % len(pieces) if self.breaks_after else None
        for count, number in enumerate(np.random.default_rng(len(self.runs)).permutation(len(pieces))):
            if count == limit:
                raise RuntimeError("a node was lost\nand so was the work")
            made = fresh(count % 2)(pieces[number])
            yield {name: values[0] for name, values in made.items()}
