"""A backbone's adapter as a torch module: raw samples or prepared batches in, the features of one output out."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from PIL import Image
from torch import nn

from cache import Recipe
from extract import BackboneSpec, Output, Samples, UnusableSampleError, find_backbone
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.code_identity import digest_state
from extract.backbones.loading import without_bars
from extract.backbones.registry import adapter_of
from extract.devices import check_device, choose_device, choose_precision
from extract.extractor import make_recipe
from extract.images import ImageFile, ImageText
from extract.outputs import parse_outputs
from extract.pooling import Tokens
from pipelines.errors import UsageError

Features: TypeAlias = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
"""Vectors `[b, d]`, or tokens `[b, t, d]` with the mask `[b, t]` of real ones."""


class BackboneModule(nn.Module):
    """A pretrained backbone of any loader.

    Parameters
    ----------
    spec
        Which one, and how it is used.
    checkpoint
        Where it was found, turned to the kind of samples.
    output
        The output that are its features.
    device
        Where it is loaded.
    """

    def __init__(self, spec: BackboneSpec, checkpoint: Checkpoint, output: Output, device: str) -> None:
        super().__init__()
        self.spec = dataclasses.replace(spec, precision=choose_precision(spec.precision, device))
        self.checkpoint = checkpoint
        self.output = output
        self.adapter = adapter_of(checkpoint).load(checkpoint, self.spec, device, self.spec.precision)
        self.model = getattr(self.adapter, "model", None)
        self.tail = nn.ModuleList(getattr(self.adapter, "tail", ()))
        if self.adapter.block_names is not None:
            self.block_names = [f"model.{name}" for name in self.adapter.block_names]
        self._loaded = digest_state(self)

    @classmethod
    def load(
        cls, backbone: Any, kind: str | None = None, output: Any = None, device: str = "auto", **settings: Any
    ) -> "BackboneModule":
        """Load a backbone.

        Parameters
        ----------
        backbone
            Whatever `extract` takes: a name, a URI, a folder, a `custom_backbone`, a `BackboneSpec`.
        kind
            `text`, `image` or `image and text`; None for what the backbone takes first.
        output
            As for `extract`, but one; None for the backbone's own.
        device
            `auto`, `cpu`, `cuda`, ...
        settings
            Those of `BackboneSpec`, such as `max_length`.
        """
        spec = backbone if isinstance(backbone, BackboneSpec) else BackboneSpec(backbone, **settings)
        checkpoint = find_backbone(spec.backbone)
        checkpoint = checkpoint.for_samples(kind or checkpoint.offer.takes)
        outputs = parse_outputs(output, checkpoint.offer, spec.dtype, f"output of {checkpoint.uri}")
        if len(outputs) > 1:
            raise UsageError(f"{checkpoint.uri}: a model has one output, not {', '.join(out.name for out in outputs)}")
        check_device(device)
        return cls(spec, checkpoint, outputs[0], choose_device(device))

    @property
    def kind(self) -> str:
        """The kind of samples it takes."""
        return self.checkpoint.offer.takes

    @property
    def recipe(self) -> Recipe:
        """All that determines its features, as long as it is as it was loaded."""
        return make_recipe(self.checkpoint, self.spec, self.spec.precision)

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        parameter = next(self.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device

    @property
    def is_as_loaded(self) -> bool:
        """Whether every weight is still what the checkpoint holds; features from a store are those of such a backbone alone."""
        return digest_state(self) == self._loaded

    def save(self, folder: str | Path) -> BackboneSpec:
        """Write the backbone as it is now into a folder, in its library's own format; return how to use it from there.

        Raises
        ------
        BackboneError
            If it is of a kind that has no such format here.
        UsageError
            If the folder holds something.
        """
        folder = Path(folder).absolute()
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder}: holds something; name a folder that is empty or not there")
        if folder.exists():
            folder.rmdir()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with without_bars():
            self.adapter.save(folder, self.checkpoint, self.spec)
        return dataclasses.replace(self.spec, backbone=f"{self.checkpoint.scheme}:{folder}")

    def read(self, inputs: Sequence[Any]) -> Samples:
        """Take raw inputs for samples; for a backbone of images, texts are paths."""
        return self.taken(Samples.of(inputs))

    def taken(self, samples: Samples) -> Samples:
        """Return samples as the backbone takes them; for one of images, texts are paths."""
        return samples.as_files() if self.kind == "image" else samples

    def preprocess(self, inputs: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Turn raw samples into a batch on the CPU; raises `UnusableSampleError` for one that cannot be used."""
        items: Sequence[Any] = self.adapter.prepare(self.read(inputs).inputs).samples
        if self.adapter.decode is not None:
            items = [self.adapter.decode(item) for item in items]
        return self.adapter.collate(items)

    def forward(self, inputs: Any) -> Features:
        """Return features of a batch that `preprocess` made, of pixels `[b, c, h, w]`, of raw samples or of one text.

        Where nothing of the backbone learns, no graph is built.
        """
        if isinstance(inputs, torch.Tensor):
            inputs = {"pixels": inputs}
        if not isinstance(inputs, Mapping):
            inputs = self.preprocess([inputs] if isinstance(inputs, str) else inputs)
        device = self.device
        batch = {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}
        found = self.adapter.forward(batch, [self.output])[self.output.name]
        states, mask = (found.states, found.mask.bool()) if isinstance(found, Tokens) else (found, None)
        if states.is_inference():
            if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in self.parameters()):
                raise UsageError(f"{self.checkpoint.uri}: its adapter runs in inference mode, so nothing of it can be trained")
            states = states if torch.is_inference_mode_enabled() else states.clone()
        return states if mask is None else (states, mask)

    def features_of_one(self) -> Features:
        """Return the features of one small sample, for their shape."""
        picture = Image.new("RGB", (64, 64), "grey")
        sample = {"text": "a", "image": picture, "image and text": ImageText(picture, "a")}[self.kind]
        with torch.inference_mode():
            found: Features = self([sample])
        return found

    def width(self) -> int:
        """Return the features' width."""
        found = self.features_of_one()
        return int((found[0] if isinstance(found, tuple) else found).shape[-1])

    def unusable(self, samples: Samples) -> dict[int, str]:
        """Return which samples cannot be used, row -> reason; images are decoded for it."""
        found = {skipped.row: skipped.reason for skipped in samples.admit(self.kind).skipped}
        if self.adapter.decode is None:
            return found
        for row, sample in enumerate(samples.inputs):
            if row not in found:
                try:
                    self.preprocess([ImageFile(sample) if isinstance(sample, str) and self.kind == "image" else sample])
                except UnusableSampleError as error:
                    found[row] = str(error)
        return found
