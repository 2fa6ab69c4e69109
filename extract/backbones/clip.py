"""CLIP and SigLIP of transformers: the tower for images, the one for texts, and both (`hf:`).

Each tower has `pooled` (its feature in the space that images and texts share), `normalised` (that at length 1) and
`unprojected` (before the projection; the same as `pooled` for SigLIP, which has none).
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from extract.backbones.checkpoint import Checkpoint
from extract.backbones.hf_vision import count_prefix, load_transform, load_whole, run_encoder
from extract.backbones.loading import loading
from extract.backbones.spec import BackboneSpec
from extract.backbones.text import load_tokenizer
from extract.backbones.towers import ImageTextBackbone, TextTower
from extract.backbones.vision import ImageBackbone, Layer, Seen


class ClipImages(ImageBackbone):
    """The tower for images."""

    def __init__(self, model: Any, transform: Any, device: str, precision: str) -> None:
        super().__init__(_ImagePart(model), transform, device, precision)
        self.prefix, self.has_class_token = count_prefix(model.vision_model)

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "ClipImages":
        from transformers import AutoModel

        with loading(checkpoint):
            model = load_whole(AutoModel, checkpoint, spec)[0]
            return cls(model, load_transform(checkpoint, spec), device, precision)

    def save(self, folder: Path, checkpoint: Checkpoint, spec: BackboneSpec) -> None:
        save_part(self.model, _ImagePart, folder, checkpoint, spec)

    def look(self, pixels: torch.Tensor, layers: Collection[int]) -> Seen:
        part: Any = self.model
        size = pixels.shape[-1] != part.tower.config.image_size
        states, _, pooled = run_encoder(part.tower, pixels, layers, **({"interpolate_pos_encoding": True} if size else {}))
        kept = {layer: Layer.of_sequence(tensor, self.prefix, self.has_class_token) for layer, tensor in states.items()}
        return Seen(own_features(pooled, part.projection(pooled)), kept)


class ClipTexts(TextTower):
    """The tower for texts."""

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "ClipTexts":
        from transformers import AutoModel

        with loading(checkpoint):
            model = load_whole(AutoModel, checkpoint, spec)[0]
            return cls(_TextPart(model), *load_tokeniser(model, checkpoint, spec), device, precision)

    def save(self, folder: Path, checkpoint: Checkpoint, spec: BackboneSpec) -> None:
        save_part(self.model, _TextPart, folder, checkpoint, spec)

    def read(self, ids: torch.Tensor, mask: torch.Tensor, layers: Collection[int]) -> Seen:
        part: Any = self.model
        attended = {} if self.length else {"attention_mask": mask}  # one trained with padding attends to it
        result = part.tower(input_ids=ids, output_hidden_states=bool(layers), **attended)
        found = result.hidden_states if layers else ()
        states = {layer: result.last_hidden_state if layer == len(found) - 1 else found[layer] for layer in layers}
        kept = {layer: Layer(tensor, tensor[:, 0], mask) for layer, tensor in states.items()}
        return Seen(own_features(result.pooler_output, part.projection(result.pooler_output)), kept)


class ClipPairs(ImageTextBackbone):
    """Both towers: `pooled` is an image's and its text's feature side by side, each at length 1."""

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "ClipPairs":
        from transformers import AutoModel

        with loading(checkpoint):
            model = load_whole(AutoModel, checkpoint, spec)[0]
            tokenise = load_tokeniser(model, checkpoint, spec)
            return cls(model, load_transform(checkpoint, spec), *tokenise, device, precision)

    def save(self, folder: Path, checkpoint: Checkpoint, spec: BackboneSpec) -> None:
        save_part(self.model, lambda whole: whole, folder, checkpoint, spec)

    def take_in(self, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, layers: Collection[int]) -> Seen:
        model: Any = self.model
        attended = {"attention_mask": mask} if model.config.model_type == "clip" else {}
        image = model.get_image_features(pixel_values=pixels).pooler_output
        text = model.get_text_features(input_ids=ids, **attended).pooler_output
        return Seen({"pooled": torch.cat([normalize(image, dim=1), normalize(text, dim=1)], dim=1)}, {})


class _ImagePart(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.tower = model.vision_model
        self.projection = getattr(model, "visual_projection", torch.nn.Identity())


class _TextPart(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.tower = model.text_model
        self.projection = getattr(model, "text_projection", torch.nn.Identity())


def save_part(
    part: torch.nn.Module, part_of: Callable[[Any], Any], folder: Path, checkpoint: Checkpoint, spec: BackboneSpec
) -> None:
    """Save a checkpoint with a part of its model as it is now, with tokenizer and image processor."""
    from transformers import AutoModel

    with loading(checkpoint):
        whole = load_whole(AutoModel, checkpoint, spec)[0]
        part_of(whole).load_state_dict(part.state_dict())
        whole.save_pretrained(folder)
        plain = BackboneSpec(spec.backbone, trust_remote_code=spec.trust_remote_code)
        load_tokenizer(checkpoint.location, checkpoint.revision, plain).save_pretrained(folder)
        load_transform(checkpoint, plain).processor.save_pretrained(folder)


def own_features(unprojected: Any, projected: torch.Tensor) -> dict[str, torch.Tensor]:
    """Name a contrastive tower's features."""
    return {"pooled": projected, "normalised": normalize(projected.float(), dim=1), "unprojected": unprojected}


def load_tokeniser(model: Any, checkpoint: Checkpoint, spec: BackboneSpec) -> tuple[Any, int, int | None]:
    """Return a function from texts to token ids, the id to pad with, and the length to pad to if that is fixed."""
    tokenizer = load_tokenizer(checkpoint.location, checkpoint.revision, spec)
    config = model.config.text_config
    limit = min(int(tokenizer.model_max_length), int(config.max_position_embeddings))
    fixed = limit if config.model_type.startswith("siglip") else None
    length, prompt = min(spec.max_length or limit, limit), spec.prompt or ""

    def tokenise(texts: Sequence[str]) -> list[list[int]]:
        prompted = [(prompt + text).lower() if spec.lowercase else prompt + text for text in texts]
        ids: list[list[int]] = tokenizer(prompted, truncation=True, max_length=length, verbose=False)["input_ids"]
        return ids

    return tokenise, int(tokenizer.pad_token_id), fixed
