"""torchvision's classification models (`torchvision:`), for what timm lacks or where their own weights are wanted."""

from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

import torch

from extract.backbones.checkpoint import Checkpoint
from extract.backbones.find_torchvision import torchvision_facts
from extract.backbones.loading import loading
from extract.backbones.spec import BackboneSpec, overrides
from extract.backbones.vision import ImageBackbone, Layer, Seen
from extract.errors import BackboneError

_HEADS = ("fc", "classifier", "head", "heads")


class TorchvisionBackbone(ImageBackbone):
    """A torchvision model: `pooled` is what its classifier is given, layer 1 the last map (or sequence) before pooling.

    Where the classifier is given a map and pools it itself, `pooled` is the mean over positions.
    """

    def __init__(self, model: Any, transform: Any, device: str, precision: str) -> None:
        super().__init__(model, transform, device, precision)
        name = next((name for name in _HEADS if hasattr(model, name)), None)
        if name is None:
            raise BackboneError(f"{type(model).__name__}: this model has no classifier known here ({', '.join(_HEADS)})")
        self._head = getattr(model, name)

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "TorchvisionBackbone":
        from torchvision import models

        name, _, weights = checkpoint.name.partition("/")
        with loading(checkpoint):
            chosen = models.get_model_weights(name)[weights or torchvision_facts(name, "")["weights"]]
            model = models.get_model(name, weights=None if checkpoint.location else chosen)
            if checkpoint.location:
                model.load_state_dict(torch.load(checkpoint.location, map_location="cpu", weights_only=True))
            return cls(model, chosen.transforms(**_settings(chosen, spec)), device, precision)

    def look(self, pixels: torch.Tensor, layers: Collection[int]) -> Seen:
        seen: dict[str, torch.Tensor] = {}
        model: Any = self.model
        with ExitStack() as hooks:

            def keep_input(module: Any, name: str) -> None:
                hooks.enter_context(module.register_forward_pre_hook(lambda _, given: seen.update({name: given[0]})))

            def keep_output(module: Any, name: str) -> None:  # a copy, since what follows may work in place
                hooks.enter_context(module.register_forward_hook(lambda _, __, found: seen.update({name: found.clone()})))

            keep_input(self._head, "pooled")
            if hasattr(model, "encoder"):
                keep_output(model.encoder, "sequence")
            elif hasattr(model, "avgpool"):
                keep_input(model.avgpool, "map")
            elif hasattr(model, "features"):
                keep_output(model.features, "map")
            model(pixels)
        pooled = seen["pooled"]
        own = {"pooled": pooled.mean((2, 3)) if pooled.ndim == 4 else pooled.flatten(1)}
        if not layers:
            return Seen(own, {})
        if "sequence" in seen:
            return Seen(own, {1: Layer.of_sequence(seen["sequence"], 1, True)})
        if "map" not in seen:
            raise BackboneError(f"{type(model).__name__}: this model gives no map before its pooling; its feature is `pooled`")
        return Seen(own, {1: Layer.of_map(seen["map"])})


def _settings(weights: Any, spec: BackboneSpec) -> dict[str, Any]:
    """Return the settings of the transform that are given, under torchvision's names."""
    from torchvision.transforms import InterpolationMode

    settings = overrides(spec, "mean", "std")
    if spec.interpolation is not None:
        settings["interpolation"] = InterpolationMode(spec.interpolation)
    crop = spec.image_size
    if crop is not None:
        settings |= {"crop_size": crop, "resize_size": crop}
    if spec.crop_fraction is not None:
        (crop,) = (crop,) if crop is not None else weights.transforms().crop_size
        settings |= {"crop_size": crop, "resize_size": round(crop / spec.crop_fraction)}
    return settings
