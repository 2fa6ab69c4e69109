"""What image backbones share: decoding and transforming in workers, stacking, and outputs from maps of features."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from extract.backbones.base import Backbone, Batch, Prepared, freeze
from extract.backbones.loading import autocast, without_graph
from extract.decoding import decode
from extract.errors import BackboneError, UnusableSampleError
from extract.images import DatasetItem, ImageCell
from extract.outputs import Output
from extract.pooling import Tokens, pool
from extract.views import View, augment


@dataclass(frozen=True)
class Layer:
    """A layer's states, which are pooled over `tokens`.

    Attributes
    ----------
    tokens
        `[b, t, d]`: a transformer's patches, a CNN's positions row by row, or a text's tokens.
    class_token
        `[b, d]`, if there is one.
    mask
        `[b, t]`, 1 at real tokens; None where all are.
    """

    tokens: torch.Tensor
    class_token: torch.Tensor | None = None
    mask: torch.Tensor | None = None

    @classmethod
    def of_map(cls, states: torch.Tensor, class_token: torch.Tensor | None = None) -> "Layer":
        """Take a map `[b, d, h, w]` as a layer."""
        return cls(states.flatten(2).transpose(1, 2), class_token)

    @classmethod
    def of_sequence(cls, states: torch.Tensor, prefix: int, has_class_token: bool) -> "Layer":
        """Take a sequence `[b, prefix + t, d]`, whose first token may be the class token, as a layer."""
        return cls(states[:, prefix:], states[:, 0] if has_class_token else None)


@dataclass(frozen=True)
class Seen:
    """What a forward pass gives: features of the backbone's own, name -> `[b, d]`, and layers by their numbers."""

    own: Mapping[str, torch.Tensor]
    layers: Mapping[int, Layer]


class ImageBackbone(Backbone):
    """A model over pictures of one size.

    Parameters
    ----------
    model
        The model.
    transform
        What the model's own library does to an RGB picture: PIL image -> `[c, h, w]`. It has to be picklable.
    device, precision
        Where it runs, and `float32`, or `bfloat16` or `float16` for autocast.
    """

    unit = "images"
    joins = True

    def __init__(self, model: torch.nn.Module, transform: Callable[[Any], Any], device: str, precision: str) -> None:
        freeze(model)
        self.model = model.to(device)
        self.decode = DecodeImage(transform)
        self.device = device
        self.precision = precision

    @abstractmethod
    def look(self, pixels: torch.Tensor, layers: Collection[int]) -> Seen:
        """Run pixels `[b, c, h, w]` through the model; give its own features and the layers asked for."""

    def prepare(self, samples: Sequence[Any]) -> Prepared:
        return Prepared([fetch(sample) for sample in samples], [1] * len(samples))

    @staticmethod
    def collate(items: Sequence[torch.Tensor]) -> Batch:
        return {"pixels": torch.stack(list(items))}

    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor | Tokens]:
        layers = {output.layer for output in outputs if output.layer is not None}
        with without_graph(self.model):
            with autocast(self.device, self.precision):
                seen = self.look(batch["pixels"], layers)
            return {output.name: pick(seen, output) for output in outputs}


class DecodeImage:
    """What a worker does to an image sample: decode it and apply the backbone's transform."""

    def __init__(self, transform: Callable[[Any], Any]) -> None:
        self.transform = transform

    def __call__(self, sample: Any) -> torch.Tensor:
        if isinstance(sample, UnusableSampleError):
            raise sample
        pixels: torch.Tensor = self.transform(picture_of(sample))
        return pixels


def picture_of(sample: Any) -> Any:
    """Decode an image, or a view of one, to an RGB picture."""
    return augment(decode(sample.image), sample.policy, sample.seed) if isinstance(sample, View) else decode(sample)


def fetch(sample: Any) -> Any:
    """Fetch what a worker should not have to: the content of a table's cell or of a data set's item."""
    if isinstance(sample, View):
        image = fetch(sample.image)
        return image if isinstance(image, UnusableSampleError) else View(image, sample.policy, sample.seed)
    if not isinstance(sample, ImageCell | DatasetItem):
        return sample
    try:
        return sample.resolve()
    except UnusableSampleError as error:
        return error


def pick(seen: Seen, output: Output) -> torch.Tensor | Tokens:
    """Make one output of what was seen; poolings but `cls` go over patches, not over class and register tokens."""
    if output.layer is None:
        return seen.own[output.pooling].float()
    layer = seen.layers[output.layer]
    if output.pooling == "cls":
        if layer.class_token is None:
            raise BackboneError(f"{output.name}: this backbone has no class token; mean, max and gem go over its positions")
        return layer.class_token.float()
    mask = layer.mask
    if mask is None:
        mask = torch.ones(layer.tokens.shape[:2], dtype=torch.long, device=layer.tokens.device)
    return pool(layer.tokens, mask, output.pooling)
