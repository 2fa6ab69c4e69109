"""What backbones there are: the well-known ones with their sizes, and every pretrained one of timm and open_clip, by name."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from extract.backbones import find_timm
from extract.backbones.checkpoint import PACKAGED
from extract.backbones.library_facts import library_fact
from extract.backbones.registry import WELL_KNOWN
from extract.backbones.timm_sizes import timm_sizes
from extract.errors import BackboneError

_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth"}

# name -> family, what it takes, layers, width, millions of parameters
_SIZES = {
    "bert-base-uncased": ("BERT", "text", 12, 768, 109),
    "bert-base-cased": ("BERT", "text", 12, 768, 108),
    "bert-large-uncased": ("BERT", "text", 24, 1024, 335),
    "roberta-base": ("RoBERTa", "text", 12, 768, 125),
    "roberta-large": ("RoBERTa", "text", 24, 1024, 355),
    "distilbert-base-uncased": ("DistilBERT", "text", 6, 768, 66),
    "electra-base-discriminator": ("ELECTRA", "text", 12, 768, 109),
    "electra-small-discriminator": ("ELECTRA", "text", 12, 256, 14),
    "all-MiniLM-L6-v2": ("sentence-transformers", "text", 6, 384, 23),
    "all-MiniLM-L12-v2": ("sentence-transformers", "text", 12, 384, 33),
    "all-mpnet-base-v2": ("sentence-transformers", "text", 12, 768, 109),
    "paraphrase-multilingual-MiniLM-L12-v2": ("sentence-transformers", "text", 12, 384, 118),
    "resnet18": ("ResNet", "image", 5, 512, 12),
    "resnet50": ("ResNet", "image", 5, 2048, 26),
    "resnet101": ("ResNet", "image", 5, 2048, 45),
    "efficientnet_b0": ("EfficientNet", "image", 5, 1280, 5),
    "efficientnet-b0": ("EfficientNet", "image", 5, 1280, 5),
    "efficientnet-lite0": ("EfficientNet", "image", 5, 1280, 5),
    "vit_base_patch16_224": ("ViT", "image", 12, 768, 86),
    "vit-base-patch16-224": ("ViT", "image", 12, 768, 86),
    "dinov2-small": ("DINOv2", "image", 12, 384, 22),
    "dinov2-base": ("DINOv2", "image", 12, 768, 87),
    "clip-vit-base-patch32": ("CLIP", "image, text, both", 12, 512, 151),
    "clip-vit-large-patch14": ("CLIP", "image, text, both", 24, 768, 428),
    "blip-image-captioning-base": ("BLIP", "image, both", 12, 768, 247),
    "blip-itm-base-coco": ("BLIP", "image, both", 12, 768, 224),
}


@dataclass(frozen=True)
class Entry:
    """A backbone that can be asked for.

    Attributes
    ----------
    name, uri
        What to write in a config, and what it stands for.
    family, takes
        The kind of model and of samples.
    layers, width, parameters
        Layers after the embeddings, width of the usual feature, millions of parameters; None where only the library knows.
    here
        Whether its weights are on this machine.
    """

    name: str
    uri: str
    family: str
    takes: str
    layers: int | None
    width: int | None
    parameters: int | None
    here: bool


def list_backbones(search: str | None = None) -> list[Entry]:
    """Return the well-known backbones, or of all there are those whose name, family or loader holds every word of `search`.

    Libraries that are not installed are left out.
    """
    entries = list(_well_known())
    if search is None:
        return entries
    words = search.lower().split()
    entries += [*_of_timm(), *_of_open_clip()]
    return [entry for entry in entries if all(word in f"{entry.name} {entry.uri} {entry.family}".lower() for word in words)]


def _well_known() -> Iterator[Entry]:
    for name, uri in WELL_KNOWN.items():
        family, takes, layers, width, parameters = _SIZES[name]
        yield Entry(name, uri, family, takes, layers, width, parameters, _is_here(uri))


def _of_timm() -> Iterator[Entry]:
    try:
        names = library_fact("timm", "names of pretrained models", _ask_timm)
    except BackboneError:
        return
    sizes = timm_sizes()
    for name, hub in names:
        layers, width, parameters = sizes.get(name.partition(".")[0], (None, None, None))
        family = name.removeprefix("tf_").partition("_")[0]
        yield Entry(f"timm:{name}", f"timm:{name}", family, "image", layers, width, parameters, _in_hub_cache(hub))


def _of_open_clip() -> Iterator[Entry]:
    try:
        models = library_fact("open_clip", "pretrained models", _ask_open_clip)
    except BackboneError:
        return
    for model, tag, hub, layers, width in models:
        uri = f"open_clip:{model}/{tag}"
        yield Entry(uri, uri, "CLIP", "image, text, both", layers, width, None, bool(hub) and _in_hub_cache(hub))


def _ask_timm() -> list[tuple[str, str]]:
    import timm

    configs = ((name, timm.get_pretrained_cfg(name)) for name in timm.list_pretrained())
    return [(name, getattr(config, "hf_hub_id", None) or f"timm/{name}") for name, config in configs]


def _ask_open_clip() -> list[tuple[str, str, str, int | None, int | None]]:
    import open_clip

    found = []
    for model, tag in open_clip.list_pretrained():
        config: dict[str, Any] = open_clip.get_model_config(model) or {}
        layers = config.get("vision_cfg", {}).get("layers")
        hub = str((open_clip.get_pretrained_cfg(model, tag) or {}).get("hf_hub") or "").rstrip("/")
        found.append((model, tag, hub, layers if isinstance(layers, int) else None, config.get("embed_dim")))
    return found


def _is_here(uri: str) -> bool:
    scheme, _, name = uri.partition(":")
    if scheme == "timm":
        package = find_timm.PACKAGED.get(name, ("", ""))[0]
        return bool(package and find_spec(package)) or _in_hub_cache(f"timm/{name}")
    if name in PACKAGED and find_spec(PACKAGED[name]):
        return True
    return _in_hub_cache(f"sentence-transformers/{name}" if scheme == "st" and "/" not in name else name)


def _in_hub_cache(name: str) -> bool:
    """Tell whether the hub's cache holds weights of a model, of any revision and, for timm, of any tag."""
    folder = _hub_cache() / f"models--{name.replace('/', '--')}" / "snapshots"
    if name.startswith("timm/") and not folder.is_dir():
        folder = next(_hub_cache().glob(f"models--timm--{name[5:]}.*/snapshots"), folder)
    return any(file.suffix in _WEIGHTS for file in folder.glob("*/**/*"))


def _hub_cache() -> Path:
    """Return where huggingface_hub keeps models, by its own environment variables, without importing it."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
