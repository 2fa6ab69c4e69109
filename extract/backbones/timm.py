"""timm's models: ResNet, EfficientNet, ViT and every other (`timm:`), each with its own data configuration."""

import inspect
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from extract.backbones.checkpoint import Checkpoint
from extract.backbones.loading import loading
from extract.backbones.spec import BackboneSpec, overrides
from extract.backbones.vision import ImageBackbone, Layer, Seen
from extract.errors import BackboneError

_CROP_MODES = {"shortest": "center", "squash": "squash", "longest": "border"}


class TimmBackbone(ImageBackbone):
    """A timm model: `pooled` is what its classifier would see, and layers are its `forward_intermediates`.

    The last layer is the output of `forward_features`, after the model's final norm or convolution.
    """

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "TimmBackbone":
        import timm

        with loading(checkpoint):
            model = _create(checkpoint, spec)
        config = timm.data.resolve_data_config(_data_settings(spec), model=model)
        transform = timm.data.create_transform(**config, is_training=False)
        return cls(model, transform, device, precision)

    def __init__(self, model: Any, transform: Any, device: str, precision: str) -> None:
        super().__init__(model, transform, device, precision)
        self.last = count_layers(model)
        self.prefix = int(getattr(model, "num_prefix_tokens", 0) or 0)
        self.has_class_token = has_class_token(model)
        self._intermediates: dict[str, Any] = {"output_fmt": "NCHW"}
        if self.prefix and "return_prefix_tokens" in inspect.signature(model.forward_intermediates).parameters:
            self._intermediates["return_prefix_tokens"] = True

    def save(self, folder: Path, checkpoint: Checkpoint, spec: BackboneSpec) -> None:
        import timm

        model: Any = self.model
        timm.models.save_for_hf(model, str(folder), safe_serialization=True)

    def look(self, pixels: torch.Tensor, layers: Collection[int]) -> Seen:
        model: Any = self.model
        inner = sorted(layer for layer in layers if layer != self.last)
        found: list[Any] = []
        if inner:
            features, found = model.forward_intermediates(pixels, [layer - 1 for layer in inner], **self._intermediates)
        else:
            features = model.forward_features(pixels)
        kept = {layer: self._intermediate(states) for layer, states in zip(inner, found, strict=True)}
        if self.last in layers:
            kept[self.last] = self._final(features)
        return Seen({"pooled": model.forward_head(features, pre_logits=True).flatten(1)}, kept)

    def _intermediate(self, states: Any) -> Layer:
        if not isinstance(states, tuple):
            return Layer.of_map(states)
        patches, prefix = states
        return Layer.of_map(patches, prefix[:, 0] if self.has_class_token else None)

    def _final(self, features: torch.Tensor) -> Layer:
        if features.ndim == 3:
            return Layer.of_sequence(features, self.prefix, self.has_class_token)
        if getattr(self.model, "output_fmt", "NCHW") == "NHWC":
            return Layer(features.flatten(1, 2))
        return Layer.of_map(features)


def count_layers(model: Any) -> int:
    """Count the layers that `forward_intermediates` can give, 1 where a model has no such method."""
    return len(model.feature_info) if hasattr(model, "forward_intermediates") else 1


def has_class_token(model: Any) -> bool:
    """Tell whether the first of a model's prefix tokens is a class token."""
    told = getattr(model, "has_class_token", None)
    found = getattr(model, "cls_token", None) is not None if told is None else told
    return bool(found) and bool(getattr(model, "num_prefix_tokens", 0))


def _data_settings(spec: BackboneSpec) -> dict[str, Any]:
    """Return the settings of the transform that are given, under timm's names."""
    settings = {
        "img_size": spec.image_size,
        "crop_pct": spec.crop_fraction,
        "crop_mode": spec.resize_mode and _CROP_MODES[spec.resize_mode],
    }
    given = {name: value for name, value in settings.items() if value is not None}
    return given | overrides(spec, "mean", "std", "interpolation")


def _create(checkpoint: Checkpoint, spec: BackboneSpec) -> Any:
    import timm

    if checkpoint.revision is not None:
        return _sized(f"hf-hub:{checkpoint.location}@{checkpoint.revision}", spec, pretrained=True)
    if Path(checkpoint.location).is_dir():
        return _sized(f"local-dir:{checkpoint.location}", spec, pretrained=True)
    model = _sized(checkpoint.name, spec, pretrained=False)
    load_weights_file(model, Path(checkpoint.location), timm.models.load_state_dict(checkpoint.location, weights_only=True))
    return model


def _sized(name: str, spec: BackboneSpec, pretrained: bool) -> Any:
    import timm

    size = {} if spec.image_size is None else {"img_size": spec.image_size}
    return timm.create_model(pretrained=pretrained, **timm.models.resolve_model_input_args(name, size))


def load_weights_file(model: torch.nn.Module, path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Load weights by name, or, where another implementation named them otherwise, in order if every shape fits.

    Raises
    ------
    BackboneError
        If they fit neither way.
    """
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    theirs = {name: tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")}
    if own.keys() != theirs.keys():
        if [tensor.shape for tensor in own.values()] != [tensor.shape for tensor in theirs.values()]:
            raise BackboneError(f"{path.name} holds the weights of another model: neither names nor shapes are the same")
        theirs = dict(zip(own, theirs.values(), strict=True))
    model.load_state_dict(theirs, strict=False)
