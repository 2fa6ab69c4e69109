"""open_clip's models: the tower for images, the one for texts, and both (`open_clip:`).

Each tower has `pooled` (its feature in the space that images and texts share), `normalised` (that at length 1) and, where
the library keeps the two apart, `unprojected` (before the projection). Layers are the library's
`forward_intermediates`, as the blocks give them and before any final norm.
"""

import json
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from extract.backbones.checkpoint import Checkpoint
from extract.backbones.clip import own_features
from extract.backbones.find_open_clip import tag_facts
from extract.backbones.loading import loading
from extract.backbones.spec import BackboneSpec, overrides
from extract.backbones.towers import ImageTextBackbone, TextTower
from extract.backbones.vision import ImageBackbone, Layer, Seen
from extract.errors import NoSuchBackboneError

_INTERPOLATIONS = ("bicubic", "bilinear")


class OpenClipImages(ImageBackbone):
    """The tower for images."""

    def __init__(self, model: Any, transform: Any, device: str, precision: str) -> None:
        self.projection = _Projection(model.visual, "proj")
        super().__init__(model.visual, transform, device, precision)

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "OpenClipImages":
        with loading(checkpoint):
            model = _create(checkpoint, spec)[0]
            return cls(model, _transform(model, spec), device, precision)

    def save(self, folder: Path, checkpoint: Checkpoint, spec: BackboneSpec) -> None:
        whole, name = _create(checkpoint, spec)
        self.projection.put_back(whole.visual)
        _save(whole, name, folder)

    def look(self, pixels: torch.Tensor, layers: Collection[int]) -> Seen:
        tower: Any = self.model
        if not layers:
            return Seen(self.projection.own(tower(pixels)), {})
        wanted = sorted(layers)
        found = tower.forward_intermediates(
            pixels, indices=[layer - 1 for layer in wanted], output_fmt="NLC", output_extra_tokens=True
        )
        patches, prefix = found["image_intermediates"], found["image_intermediates_prefix"]
        kept = {layer: Layer(patches[place], prefix[place][:, 0]) for place, layer in enumerate(wanted)}
        return Seen(self.projection.own(found["image_features"]), kept)


class OpenClipTexts(TextTower):
    """The tower for texts, which are padded to the model's length as the library does."""

    def __init__(self, model: Any, tokenise: Any, fill: int, length: int, device: str, precision: str) -> None:
        self.projection = _Projection(getattr(model, "text", model), "text_projection")
        if hasattr(model, "visual"):
            del model.visual
        super().__init__(model, tokenise, fill, length, device, precision)

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "OpenClipTexts":
        with loading(checkpoint):
            model, name = _create(checkpoint, spec)
            return cls(model, *_tokeniser(name, spec), device, precision)

    def save(self, folder: Path, checkpoint: Checkpoint, spec: BackboneSpec) -> None:
        whole, name = _create(checkpoint, spec)
        self.projection.put_back(getattr(whole, "text", whole))
        _save(whole, name, folder)

    def read(self, ids: torch.Tensor, mask: torch.Tensor, layers: Collection[int]) -> Seen:
        model: Any = self.model
        if not layers:
            return Seen(self.projection.own(model.encode_text(ids)), {})
        wanted = sorted(layers)
        found = model.forward_intermediates(text=ids, text_indices=[layer - 1 for layer in wanted], normalize=False)
        states = dict(zip(wanted, found["text_intermediates"], strict=True))
        kept = {layer: Layer(tensor, tensor[:, 0], mask) for layer, tensor in states.items()}
        return Seen(self.projection.own(found["text_features"]), kept)


class OpenClipPairs(ImageTextBackbone):
    """Both towers: `pooled` is an image's and its text's feature side by side, each at length 1."""

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "OpenClipPairs":
        with loading(checkpoint):
            model, name = _create(checkpoint, spec)
            return cls(model, _transform(model, spec), *_tokeniser(name, spec), device, precision)

    def save(self, folder: Path, checkpoint: Checkpoint, spec: BackboneSpec) -> None:
        _save(self.model, _create(checkpoint, spec)[1], folder)

    def take_in(self, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, layers: Collection[int]) -> Seen:
        model: Any = self.model
        image, text = model.encode_image(pixels), model.encode_text(ids)
        return Seen({"pooled": torch.cat([normalize(image, dim=1), normalize(text, dim=1)], dim=1)}, {})


class _Projection:
    """A tower's last matrix, taken off it so that the feature before it is seen too."""

    def __init__(self, tower: Any, name: str) -> None:
        found = getattr(tower, name, None)
        self._tower, self._name = tower, name
        if isinstance(found, torch.nn.Parameter):
            linear = torch.nn.Linear(*found.shape, bias=False)
            linear.weight.data = found.detach().T.contiguous()
            found = linear
        if isinstance(found, torch.nn.Linear):
            setattr(tower, name, None)
            tower.taken_off = found

    def put_back(self, tower: Any) -> None:
        """Give another instance of the whole tower this one's weights, the matrix in its place."""
        state = self._tower.state_dict()
        for name in [name for name in state if name.startswith("taken_off.")]:
            values = state.pop(name)
            is_matrix = isinstance(getattr(tower, self._name), torch.nn.Parameter)
            state[self._name if is_matrix else name.replace("taken_off", self._name)] = values.T if is_matrix else values
        own = {name: value for name, value in tower.state_dict().items() if name not in state}
        tower.load_state_dict(own | state)

    def own(self, feature: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return a tower's own features from what it gives without its projection."""
        taken_off = getattr(self._tower, "taken_off", None)
        return own_features(feature, feature if taken_off is None else taken_off(feature))


def _create(checkpoint: Checkpoint, spec: BackboneSpec) -> tuple[Any, str]:
    """Load a model; return it and the name that open_clip's tokenizers know it by."""
    import open_clip

    name, settings = _source(checkpoint)
    model = open_clip.create_model(name, force_image_size=spec.image_size, require_pretrained=True, **settings)
    return model, name


def _save(model: Any, name: str, folder: Path) -> None:
    import open_clip
    from open_clip.push_to_hf_hub import save_config_for_hf
    from safetensors.torch import save_model

    source = Path(name.removeprefix("local-dir:"))
    folder.mkdir(parents=True)
    if source.is_dir():
        config = json.loads((source / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
        for file in source.iterdir():
            if file.is_file() and file.suffix in (".json", ".txt", ".model") and file.name != "open_clip_config.json":
                shutil.copy(file, folder)  # a tokenizer's
    else:
        config = open_clip.get_model_config(name)
    save_model(model, str(folder / "open_clip_model.safetensors"))
    save_config_for_hf(model, folder / "open_clip_config.json", config)


def _source(checkpoint: Checkpoint) -> tuple[str, dict[str, Any]]:
    from open_clip.pretrained import download_pretrained_from_hf

    if Path(checkpoint.location).is_dir():
        return f"local-dir:{checkpoint.location}", {}
    if checkpoint.revision is None and checkpoint.location:
        return checkpoint.name, {"pretrained": checkpoint.location}
    model, _, tag = checkpoint.name.partition("/")
    facts = tag_facts(model, tag)
    if not facts:
        from huggingface_hub import snapshot_download

        return f"local-dir:{snapshot_download(checkpoint.location, revision=checkpoint.revision)}", {}
    settings = {"pretrained": tag, "force_quick_gelu": bool(facts.get("quick_gelu"))}
    if checkpoint.revision is not None:
        file = os.path.basename(facts["hf_hub"]) or None
        weights = download_pretrained_from_hf(checkpoint.location, filename=file, revision=checkpoint.revision)
        preprocessing = {key: facts[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in facts}
        settings |= {"pretrained": weights, "force_preprocess_cfg": preprocessing}
    return model, settings


def _transform(model: Any, spec: BackboneSpec) -> Callable[[Any], torch.Tensor]:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    if spec.interpolation not in (None, *_INTERPOLATIONS):
        raise NoSuchBackboneError(f"interpolation `{spec.interpolation}` is none of open_clip's: {', '.join(_INTERPOLATIONS)}")
    settings = model.visual.preprocess_cfg | overrides(spec, "mean", "std", "interpolation", "resize_mode")
    transform: Callable[[Any], torch.Tensor] = image_transform_v2(PreprocessCfg(**settings), is_train=False)
    return transform


def _tokeniser(name: str, spec: BackboneSpec) -> tuple[Any, int, int]:
    """Return a function from texts to token ids, the id to pad with and the length to pad to."""
    import open_clip

    tokenizer = open_clip.get_tokenizer(name)
    prompt, length = spec.prompt or "", int(tokenizer.context_length)

    def tokenise(texts: Sequence[str]) -> list[list[int]]:
        rows = tokenizer([(prompt + text).lower() if spec.lowercase else prompt + text for text in texts]).tolist()
        return [_unpadded(row, fill) for row in rows]

    fill = int(tokenizer([""])[0, -1])
    return tokenise, fill, length


def _unpadded(ids: list[int], fill: int) -> list[int]:
    end = len(ids)
    while end > 1 and ids[end - 1] == fill:
        end -= 1
    return ids[:end]
