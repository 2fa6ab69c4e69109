"""What models of images and texts share: a tower over texts, and a pass over an image with its text."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch

from extract.backbones.base import Backbone, Batch, Prepared, freeze
from extract.backbones.loading import autocast, without_graph
from extract.backbones.vision import DecodeImage, Seen, fetch, pick
from extract.images import ImageText
from extract.outputs import Output
from extract.pooling import Tokens

Tokenise = Callable[[Sequence[str]], list[list[int]]]


class TextTower(Backbone):
    """The part of a model of images and texts that reads texts.

    Parameters
    ----------
    model
        The tower.
    tokenise
        Texts to token ids, cut to the model's length, without padding.
    fill
        The id to pad with.
    length
        What to pad to, for models that were trained on nothing else; None for the longest of a batch.
    device, precision
        Where it runs, and `float32`, or `bfloat16` or `float16` for autocast.
    """

    def __init__(
        self, model: torch.nn.Module, tokenise: Tokenise, fill: int, length: int | None, device: str, precision: str
    ) -> None:
        freeze(model)
        self.model = model.to(device)
        self.token_mask = None if length else "mask"
        self.tokenise = tokenise
        self.fill = fill
        self.length = length
        self.device = device
        self.precision = precision

    @abstractmethod
    def read(self, ids: torch.Tensor, mask: torch.Tensor, layers: Collection[int]) -> Seen:
        """Run token ids `[b, t]`, of which `mask [b, t]` says which are real; give own features and layers."""

    def prepare(self, samples: Sequence[Any]) -> Prepared:
        tokens = self.tokenise(list(samples))
        return Prepared(tokens, [self.length or len(ids) for ids in tokens])

    def collate(self, items: Sequence[Any]) -> Batch:
        return pad(items, self.fill, self.length)

    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor | Tokens]:
        layers = {output.layer for output in outputs if output.layer is not None}
        with without_graph(self.model):
            with autocast(self.device, self.precision):
                seen = self.read(batch["ids"], batch["mask"], layers)
            return {output.name: pick(seen, output) for output in outputs}


class ImageTextBackbone(Backbone):
    """A model that takes an image with a text.

    Parameters
    ----------
    model
        The model.
    transform
        PIL image -> `[c, h, w]`; picklable.
    tokenise, fill, length, device, precision
        As for `TextTower`.
    """

    unit = "images"

    def __init__(
        self,
        model: torch.nn.Module,
        transform: Callable[[Any], Any],
        tokenise: Tokenise,
        fill: int,
        length: int | None,
        device: str,
        precision: str,
    ) -> None:
        freeze(model)
        self.model = model.to(device)
        self.tokenise = tokenise
        self.decode = DecodeImageText(transform, fill, length)
        self.joins = length is not None  # else texts are filled up to the longest of a batch
        self.device = device
        self.precision = precision

    @abstractmethod
    def take_in(self, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, layers: Collection[int]) -> Seen:
        """Run pixels `[b, c, h, w]` and token ids `[b, t]` with their mask; give own features and layers."""

    def prepare(self, samples: Sequence[ImageText]) -> Prepared:
        tokens = self.tokenise([sample.text for sample in samples])
        prepared = [(fetch(sample.image), ids) for sample, ids in zip(samples, tokens, strict=True)]
        return Prepared(prepared, [1] * len(samples))

    @staticmethod
    def collate(items: Sequence[Any]) -> Batch:
        images, tokens, fills, lengths = zip(*items, strict=True)
        return {"pixels": torch.stack(images), **pad(tokens, fills[0], lengths[0])}

    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor | Tokens]:
        layers = {output.layer for output in outputs if output.layer is not None}
        with without_graph(self.model):
            with autocast(self.device, self.precision):
                seen = self.take_in(batch["pixels"], batch["ids"], batch["mask"], layers)
            return {output.name: pick(seen, output) for output in outputs}


class DecodeImageText:
    """What a worker does to an image with its token ids: decode and transform the image, and say how to pad the rest."""

    def __init__(self, transform: Callable[[Any], Any], fill: int, length: int | None) -> None:
        self.image = DecodeImage(transform)
        self.padding = (fill, length)

    def __call__(self, sample: tuple[Any, list[int]]) -> tuple[Any, ...]:
        image, ids = sample
        return (self.image(image), ids, *self.padding)


def pad(tokens: Sequence[list[int]], fill: int, length: int | None) -> Batch:
    """Pad token ids on the right to `length`, or to the longest; `mask` says which are real."""
    width = length or max(map(len, tokens))
    ids = torch.full((len(tokens), width), fill, dtype=torch.long)
    mask = torch.zeros((len(tokens), width), dtype=torch.long)
    for row, sample in enumerate(tokens):
        ids[row, : len(sample)] = torch.tensor(sample)
        mask[row, : len(sample)] = 1
    return {"ids": ids, "mask": mask}
