"""Adapters that run a user's own module or callable; see `custom`."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import default_collate

from extract.backbones.base import Backbone, Batch, Prepared, freeze
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.loading import autocast, without_graph
from extract.backbones.spec import BackboneSpec
from extract.backbones.vision import fetch, picture_of
from extract.errors import BackboneError, UnusableSampleError
from extract.images import ImageText
from extract.outputs import Output

_ALONE = "input"


class ModuleAdapter(Backbone):
    """A torch module over what a function makes of a sample.

    Parameters
    ----------
    checkpoint
        Of a `CustomBackbone`.
    device, precision
        Where it runs, and `float32`, or `bfloat16` or `float16` for autocast.
    """

    unit = "samples"

    def __init__(self, checkpoint: Checkpoint, device: str, precision: str) -> None:
        custom = checkpoint.custom
        freeze(custom.model)
        self.model = custom.model.to(device)
        self.decode = Preprocess(custom.preprocess)
        self.parallel = _can_travel(self.decode)
        self.own = tuple(checkpoint.offer.own)
        self.device = device
        self.precision = precision

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "ModuleAdapter":
        return cls(checkpoint, device, precision)

    def prepare(self, samples: Sequence[Any]) -> Prepared:
        return Prepared([fetch(sample) for sample in samples], [1] * len(samples))

    @staticmethod
    def collate(items: Sequence[Any]) -> Batch:
        batch = default_collate(list(items))
        return dict(batch) if isinstance(batch, Mapping) else {_ALONE: batch}

    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor]:
        with without_graph(self.model), autocast(self.device, self.precision):
            result = self.model(batch[_ALONE]) if _ALONE in batch else self.model(**batch)
        return _named(result, self.own, outputs)


class CallableAdapter(Backbone):
    """A callable from a list of samples to their features; where and how it computes is its own affair."""

    unit = "samples"

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.call = checkpoint.custom.model
        self.own = tuple(checkpoint.offer.own)
        self.takes = checkpoint.offer.takes
        self.decode = Preprocess(None) if self.takes != "text" else None
        self.parallel = True

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "CallableAdapter":
        return cls(checkpoint)

    def prepare(self, samples: Sequence[Any]) -> Prepared:
        return Prepared([fetch(sample) for sample in samples], [1] * len(samples))

    def collate(self, items: Sequence[Any]) -> Batch:
        result = self.call(list(items))
        if not isinstance(result, Mapping):
            result = {self.own[0]: result}
        return {name: torch.as_tensor(values) for name, values in result.items()}

    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor]:
        return _named(batch, self.own, outputs)


class GivenAdapter:
    """Hands on an adapter that the user made."""

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> Backbone:
        adapter: Backbone = checkpoint.custom.model
        if hasattr(adapter, "model"):
            freeze(adapter.model)
            adapter.model.to(device)
        return adapter


class Preprocess:
    """What a worker does with a sample: decode its image, if it has one, and call the user's function."""

    def __init__(self, function: Callable[[Any], Any] | None) -> None:
        self.function = function

    def __call__(self, sample: Any) -> Any:
        if isinstance(sample, UnusableSampleError):
            raise sample
        if isinstance(sample, ImageText):
            sample = (picture_of(sample.image), sample.text)
        elif not isinstance(sample, str | tuple):
            sample = picture_of(sample)
        return sample if self.function is None else self.function(sample)


def _named(result: Any, own: Sequence[str], outputs: Sequence[Output]) -> dict[str, torch.Tensor]:
    features = dict(result) if isinstance(result, Mapping) else {own[0]: result}
    named = {}
    for output in outputs:
        values = features.get(output.pooling)
        if not isinstance(values, torch.Tensor) or values.ndim != 2:
            shape = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
            raise BackboneError(f"the custom backbone's `{output.pooling}` is {shape}, and has to be [samples, width]")
        named[output.name] = values.float()
    return named


def _can_travel(function: Any) -> bool:
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True
