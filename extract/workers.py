"""Worker processes that decode samples, such as pictures, and put them together into batches.

Samples of one shape go to the workers in pieces of a batch, so that a few large batches keep all of them busy, and so that
what is on its way fits into the memory that processes share.
"""

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from extract.backbones.base import Backbone, Batch
from extract.devices import count_ranks_here
from extract.errors import UnusableSampleError
from extract.slices import Slice
from extract.transfer import Transfer

PIECE = 32
"""Samples that a worker process decodes at a time."""
READY = 2
"""Pieces that each worker has ready."""
HELD = 3
"""Pieces that are read: one that comes, one that is copied, one that its memory's owner has yet to forget."""
SHARE = 0.8
"""Of the shared memory that is free: how much workers may fill."""
TRIED = 64
"""Samples that are decoded to see how large they are."""

Plan = tuple[Slice, np.ndarray]
"""Which rows of a slice make a batch."""


@dataclass(frozen=True)
class Decoded:
    """A decoded batch, and position -> reason for the samples that are not in it."""

    batch: Batch | None
    refused: dict[int, str]


class _Decoding(Dataset):
    """What a worker does: its index is a prepared sample, and its item that sample decoded, or why it cannot be."""

    def __init__(self, decode: Callable[[Any], Any]) -> None:
        self.decode = decode

    def __getitem__(self, sample: Any) -> Any:
        try:
            return self.decode(sample)
        except UnusableSampleError as error:
            return error
        except Exception as error:  # a bad sample never kills a run, whatever a decoder makes of it
            return UnusableSampleError(f"{type(error).__name__}: {' '.join(str(error).split())}")


class _Collating:
    def __init__(self, collate: Callable[[Sequence[Any]], Batch]) -> None:
        self.collate = collate

    def __call__(self, items: list[Any]) -> Decoded:
        refused = {n: str(item) for n, item in enumerate(items) if isinstance(item, UnusableSampleError)}
        good = [item for n, item in enumerate(items) if n not in refused]
        return Decoded(self.collate(good) if good else None, refused)


class _Plans(Sampler):
    """The batches planned, as lists of samples: whole, or in pieces."""

    def __init__(self, plans: Iterator[Plan], given: deque[Plan], piece: int | None) -> None:
        self.plans = plans
        self.given = given
        self.piece = piece

    def __iter__(self) -> Iterator[list[Any]]:
        for slice_, rows in self.plans:
            self.given.append((slice_, rows))
            for some in _cut(rows, self.piece):
                yield [slice_.prepared.samples[row] for row in some]


def decode_batches(
    backbone: Backbone, plans: Iterator[Plan], workers: int, transfer: Transfer
) -> Iterator[tuple[Slice, np.ndarray, Decoded]]:
    """Have workers decode and collate the batches planned; they come back in order."""
    assert backbone.decode is not None
    first = next(plans, None)
    if first is None:
        return
    ahead, piece = READY, None
    if workers and backbone.joins:
        workers, ahead, piece = share_memory(workers, _count_bytes(backbone.decode, first))
    given: deque[Plan] = deque()
    loader = DataLoader(
        _Decoding(backbone.decode),
        batch_sampler=_Plans(chain([first], plans), given, piece),
        num_workers=workers,
        collate_fn=_Collating(backbone.collate),
        prefetch_factor=ahead if workers else None,
    )
    pieces = iter(loader)
    while (found := next(pieces, None)) is not None:
        slice_, rows = given.popleft()
        count = len(_cut(rows, piece))
        whole = found if count == 1 else _join(chain([found], islice(pieces, count - 1)), rows, transfer)
        del found
        yield slice_, rows, whole
        del whole


def _cut(rows: np.ndarray, piece: int | None) -> list[np.ndarray]:
    return [rows] if piece is None else [rows[start : start + piece] for start in range(0, len(rows), piece)]


def _join(pieces: Iterator[Decoded], rows: np.ndarray, transfer: Transfer) -> Decoded:
    """Put a batch together as its pieces come, since their memory is shared and scarce."""
    whole: dict[str, torch.Tensor] = {}
    refused: dict[int, str] = {}
    seen = end = 0
    while (found := next(pieces, None)) is not None:
        refused |= {seen + place: reason for place, reason in found.refused.items()}
        count = 0 if found.batch is None else len(next(iter(found.batch.values())))
        seen += count + len(found.refused)
        for name, tensor in (found.batch or {}).items():
            if name not in whole:
                whole[name] = transfer.room((len(rows), *tensor.shape[1:]), tensor.dtype)
            if (tensor.shape[1:], tensor.dtype) != (whole[name].shape[1:], whole[name].dtype):
                raise ValueError(f"samples of one batch are {list(whole[name].shape[1:])} and {list(tensor.shape[1:])}")
            whole[name][end : end + count] = tensor
        end += count
        del found
    return Decoded({name: tensor[:end] for name, tensor in whole.items()} if end else None, refused)


def _count_bytes(decode: Callable[[Any], Any], plan: Plan) -> int:
    """Return the size of the first sample that can be decoded; 0 if none of some can."""
    slice_, rows = plan
    decoded = (_Decoding(decode)[slice_.prepared.samples[row]] for row in rows[:TRIED].tolist())
    return next(filter(None, map(_size, decoded)), 0)


def _size(item: Any) -> int:
    """Return the bytes of the tensors in a decoded sample."""
    parts = item if isinstance(item, tuple) else (item,)
    return sum(part.nbytes for part in parts if isinstance(part, torch.Tensor))


def share_memory(workers: int, size: int, place: Path = Path("/dev/shm")) -> tuple[int, int, int]:  # noqa: S108  (Linux's own)
    """Return how many workers may send samples of so many bytes through shared memory, how many pieces each has ready, and of
    how many samples.

    Workers die where shared memory runs out, of which containers have 64 MiB unless they are given more. Beside what is ready
    there are `HELD` pieces that this process has not let go of.
    """
    if not place.is_dir() or not size:
        return workers, READY, PIECE
    free = SHARE * shutil.disk_usage(place).free / count_ranks_here()
    if size * PIECE * (workers * READY + HELD) <= free:
        return workers, READY, PIECE
    workers = min(workers, max(0, int(free // size) - HELD))
    return workers, 1, min(PIECE, max(1, int(free // (size * (workers + HELD)))))
