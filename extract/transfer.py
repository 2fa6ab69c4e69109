"""Copies between the CPU and a device, made so that they overlap the computation; on CUDA only, elsewhere plain copies.

To the device: from pinned memory, on a stream of their own, while the batches before are computed. Back: into pinned memory
behind the computation that makes them; nothing waits for a batch until `IN_FLIGHT` others have been started after it.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from extract.backbones.base import Batch
from extract.pooling import Tokens

IN_FLIGHT = 3

Land = Callable[[dict[str, Any]], None]


class Transfer:
    """Moves batches to one device, and features back.

    Parameters
    ----------
    device
        Such as `cpu`, `cuda:1`, `mps`.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self._streams = self.device.type == "cuda"
        self._copying = torch.cuda.Stream(self.device) if self._streams else None
        self._flying: deque[tuple[Mapping[str, Any], torch.cuda.Event | None, Land]] = deque()

    def send(self, batch: Batch) -> tuple[Batch, torch.cuda.Event | None]:
        """Begin to copy a batch to the device (in any thread); `receive` it before use."""
        if self._copying is None:
            return {name: tensor.to(self.device) for name, tensor in batch.items()}, None
        with torch.cuda.device(self.device), torch.cuda.stream(self._copying):
            there = {name: tensor.pin_memory().to(self.device, non_blocking=True) for name, tensor in batch.items()}
            return there, self._copying.record_event()

    def room(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Return memory on the CPU to put a batch together in, from where it is quickly sent."""
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=self._streams)

    def receive(self, sent: tuple[Batch, torch.cuda.Event | None]) -> Batch:
        """Let the computation that comes next wait for a batch that was sent."""
        batch, event = sent
        if event is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(event)
            for tensor in batch.values():
                tensor.record_stream(stream)
        return batch

    def fetch(self, features: Mapping[str, torch.Tensor | Tokens], land: Land) -> None:
        """Begin to copy features back; `land` is called with arrays when they are there (`Tokens`: a list of `[t, d]`)."""
        flat = {name: (f.states, f.mask) if isinstance(f, Tokens) else (f,) for name, f in features.items()}
        if not self._streams:
            land(_arrays({name: tuple(tensor.cpu() for tensor in parts) for name, parts in flat.items()}))
            return
        here = {name: tuple(_to_pinned(tensor) for tensor in parts) for name, parts in flat.items()}
        self._flying.append((here, torch.cuda.current_stream(self.device).record_event(), land))
        while len(self._flying) > IN_FLIGHT:
            self._land_first()

    def finish(self) -> None:
        """Wait for all features that are on their way."""
        while self._flying:
            self._land_first()

    def _land_first(self) -> None:
        here, event, land = self._flying.popleft()
        if event is not None:
            event.synchronize()
        land(_arrays(here))


def _to_pinned(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def _arrays(features: Mapping[str, tuple[torch.Tensor, ...]]) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for name, (states, *masks) in features.items():
        values: np.ndarray = states.numpy()
        if masks:
            real = masks[0].numpy().astype(bool)
            arrays[name] = [values[row][real[row]] for row in range(len(values))]
        else:
            arrays[name] = values
    return arrays
