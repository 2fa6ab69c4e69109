"""Vision encoders of transformers: ViT, DINOv2, ResNet and every other `AutoModel` of images (`hf:`)."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from extract.backbones.checkpoint import Checkpoint
from extract.backbones.loading import loading
from extract.backbones.spec import BackboneSpec, overrides
from extract.backbones.vision import ImageBackbone, Layer, Seen
from extract.errors import BackboneError, NoSuchBackboneError

_INTERPOLATIONS = ("nearest", "bilinear", "bicubic")  # what torchvision does to tensors


class VisionBackbone(ImageBackbone):
    """A transformers vision encoder.

    `pooled` is the model's `pooler_output`; of a checkpoint that holds no weights for its pooler (they would be random),
    and of a model without one, it is the class token of the last layer, or else the mean over its patches.

    Parameters
    ----------
    model
        The encoder.
    has_pooler
        Whether its `pooler_output` can be trusted.
    transform, device, precision
        As for `ImageBackbone`.
    """

    def __init__(self, model: Any, has_pooler: bool, transform: Any, device: str, precision: str) -> None:
        super().__init__(model, transform, device, precision)
        self.has_pooler = has_pooler
        self.prefix, self.has_class_token = count_prefix(model)

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "VisionBackbone":
        from transformers import AutoModel

        with loading(checkpoint):
            model, has_pooler = load_whole(AutoModel, checkpoint, spec)
            transform = load_transform(checkpoint, spec)
        return cls(model, has_pooler, transform, device, precision)

    def save(self, folder: Path, checkpoint: Checkpoint, spec: BackboneSpec) -> None:
        model: Any = self.model
        state = {name: tensor for name, tensor in model.state_dict().items() if self.has_pooler or "pooler" not in name}
        model.save_pretrained(folder, state_dict=state)
        load_transform(checkpoint, BackboneSpec(spec.backbone)).processor.save_pretrained(folder)

    def look(self, pixels: torch.Tensor, layers: Collection[int]) -> Seen:
        states, last, pooled = run_encoder(self.model, pixels, layers)
        kept = {layer: self._layer(tensor) for layer, tensor in states.items()}
        if self.has_pooler and pooled is not None:
            return Seen({"pooled": pooled.flatten(1)}, kept)
        final = self._layer(last)
        return Seen({"pooled": final.tokens.mean(1) if final.class_token is None else final.class_token}, kept)

    def _layer(self, states: torch.Tensor) -> Layer:
        if states.ndim == 4:
            return Layer.of_map(states)
        return Layer.of_sequence(states, self.prefix, self.has_class_token)


class ProcessorTransform:
    """A transformers image processor as a transform of one picture."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, picture: Any) -> torch.Tensor:
        pixels: torch.Tensor = self.processor(images=picture, return_tensors="pt")["pixel_values"][0]
        return pixels


def run_encoder(
    model: Any, pixels: torch.Tensor, layers: Collection[int], **settings: Any
) -> tuple[dict[int, torch.Tensor], torch.Tensor, torch.Tensor | None]:
    """Run a vision encoder; return the layers asked for, its last states (which are the last layer) and its pooled output."""
    result = model(pixel_values=pixels, output_hidden_states=bool(layers), **settings)
    found = result.hidden_states if layers else ()
    last = result.last_hidden_state
    states = {layer: last if layer == len(found) - 1 else found[layer] for layer in layers}
    return states, last, getattr(result, "pooler_output", None)


def count_prefix(model: Any) -> tuple[int, bool]:
    """Count the tokens that stand before the patches, and tell whether the first of them is a class token."""
    embeddings = getattr(getattr(model, "vision_model", model), "embeddings", None)
    tokens = [getattr(embeddings, name, None) is not None for name in ("cls_token", "class_embedding", "distillation_token")]
    registers = int(getattr(model.config, "num_register_tokens", 0) or 0) if any(tokens[:2]) else 0
    return sum(tokens) + registers, any(tokens[:2])


def load_whole(model_class: Any, checkpoint: Checkpoint, spec: BackboneSpec) -> tuple[Any, bool]:
    """Load a transformers model; return it and whether its pooler, if any, came out of the checkpoint.

    Raises
    ------
    BackboneError
        If anything but a pooler is missing in the checkpoint, and would be random.
    """
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what is missing is told below
    try:
        model, report = model_class.from_pretrained(
            checkpoint.location, revision=checkpoint.revision, dtype=torch.float32, output_loading_info=True,
            trust_remote_code=spec.trust_remote_code,
        )  # fmt: skip
    finally:
        logging.set_verbosity(verbosity)
    missing = sorted(report["missing_keys"])
    if others := [name for name in missing if "pooler" not in name]:
        raise BackboneError(f"the checkpoint lacks {_some(others)}")
    return model, not missing


def load_transform(checkpoint: Checkpoint, spec: BackboneSpec) -> ProcessorTransform:
    """Load a checkpoint's image processor, with the settings that are given in the place of its own."""
    from transformers import AutoImageProcessor

    def load(**settings: Any) -> Any:
        return AutoImageProcessor.from_pretrained(checkpoint.location, revision=checkpoint.revision, **settings)

    return ProcessorTransform(with_settings(load, spec))


def with_settings(load: Callable[..., Any], spec: BackboneSpec) -> Any:
    """Load an image processor by `load(**settings)`, with the settings that are given under transformers' names."""
    settings: dict[str, Any] = {f"image_{name}": list(value) for name, value in overrides(spec, "mean", "std").items()}
    if spec.interpolation not in (None, *_INTERPOLATIONS):
        known = ", ".join(_INTERPOLATIONS)
        raise NoSuchBackboneError(f"interpolation {spec.interpolation} is none of those of transformers' processors: {known}")
    if spec.interpolation is not None:
        settings["resample"] = Image.Resampling[spec.interpolation.upper()]
    if spec.image_size is not None:
        square = {"height": spec.image_size, "width": spec.image_size}
        settings |= {"size": square, "crop_size": square}
    if spec.resize_mode is None and spec.crop_fraction is None:
        return load(**settings)
    if spec.resize_mode == "longest" or (spec.resize_mode == "squash" and spec.crop_fraction is not None):
        asked = "longest" if spec.resize_mode == "longest" else "squash with a crop_fraction"
        raise NoSuchBackboneError(f"resize_mode {asked} is not what transformers' processors do; they have shortest and squash")
    side = spec.image_size or side_of(load())
    square = {"height": side, "width": side}
    if spec.resize_mode == "squash":
        return load(**settings, do_resize=True, do_center_crop=False, **({} if "size" in settings else {"size": square}))
    shortest = {"shortest_edge": round(side / (spec.crop_fraction or 1))}
    return load(**settings | {"size": shortest, "crop_size": square, "do_resize": True, "do_center_crop": True})


def side_of(processor: Any) -> int:
    """Return the side of the square that an image processor makes."""
    for name in ("crop_size", "size") if getattr(processor, "do_center_crop", False) else ("size",):
        found = dict(getattr(processor, name, None) or {})
        if side := found.get("height") or found.get("shortest_edge"):
            return int(side)
    raise NoSuchBackboneError("its image processor states no size; say `image_size`")


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
