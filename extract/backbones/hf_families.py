"""Which transformers checkpoints are of images, or of images and texts, read from their configuration. No torch here."""

from collections.abc import Mapping
from typing import Any

from extract.outputs import OWN, POOLINGS, Offer

IMAGE_FIELDS = ("image_size", "patch_size", "num_channels")
"""Fields that a vision encoder's configuration has, at least one, and a text encoder's never."""

CONTRASTIVE = ("clip", "siglip")
"""Model types with a tower for images and one for texts, and `get_image_features` and `get_text_features`."""

PROJECTED = (OWN, "normalised", "unprojected")
"""A contrastive tower's own features: projected into the common space; that at length 1; and before the projection."""

IMAGE_POOLINGS = tuple(pooling for pooling in POOLINGS if pooling != "last")
_LAYERS = 12  # the libraries' default where a part's configuration leaves it out


def describe_images(config: Mapping[str, Any]) -> Offer | None:
    """Tell what a checkpoint can give, if it takes images; None if it does not."""
    kind = config.get("model_type")
    if kind in CONTRASTIVE:
        return _contrastive(config)
    if kind == "blip":
        return _blip(config)
    if "text_config" in config or not any(field in config for field in IMAGE_FIELDS):
        return None
    depths = config.get("depths")
    if isinstance(depths, list) and "num_hidden_layers" not in config:  # a hierarchy of stages, without a class token
        poolings = [pooling for pooling in IMAGE_POOLINGS if pooling != "cls"]
        return Offer(len(depths), OWN, (OWN,), poolings, takes="image", family="image")
    return Offer(_count(config), OWN, (OWN,), IMAGE_POOLINGS, takes="image", family="image")


def _contrastive(config: Mapping[str, Any]) -> Offer:
    both = Offer(0, OWN, (OWN,), (), takes="image and text", family="clip both")
    texts = Offer(_count(config.get("text_config")), OWN, PROJECTED, POOLINGS, takes="text", family="clip text")
    layers = _count(config.get("vision_config"))
    return Offer(layers, OWN, PROJECTED, IMAGE_POOLINGS, takes="image", family="clip image", others=(texts, both))


def _blip(config: Mapping[str, Any]) -> Offer:
    captions = "BlipForConditionalGeneration" in (config.get("architectures") or ())
    layers, default = _count(config.get("text_config")), "last" if captions else "cls"
    both = Offer(layers, default, (), POOLINGS, takes="image and text", family="blip both")
    layers = _count(config.get("vision_config"))
    return Offer(layers, OWN, (OWN,), IMAGE_POOLINGS, takes="image", family="blip image", others=(both,))


def _count(config: Any) -> int:
    layers = config.get("num_hidden_layers") if isinstance(config, Mapping) else None
    return layers if isinstance(layers, int) else _LAYERS
