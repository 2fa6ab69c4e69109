"""Names to backbones: URIs, the bare names people know, and the adapter for each loader. No torch until one is loaded."""

import difflib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.backbones.checkpoint import Checkpoint, find_checkpoint
from extract.errors import NoSuchBackboneError

if TYPE_CHECKING:
    from extract.backbones.base import Backbone
    from extract.backbones.custom import CustomBackbone


LOADERS = {
    "hf": "extract.backbones.text:TextBackbone",
    "hf/image": "extract.backbones.hf_vision:VisionBackbone",
    "hf/clip image": "extract.backbones.clip:ClipImages",
    "hf/clip text": "extract.backbones.clip:ClipTexts",
    "hf/clip both": "extract.backbones.clip:ClipPairs",
    "hf/blip image": "extract.backbones.blip:BlipImages",
    "hf/blip both": "extract.backbones.blip:BlipPairs",
    "st": "extract.backbones.sentence:SentenceBackbone",
    "timm": "extract.backbones.timm:TimmBackbone",
    "torchvision": "extract.backbones.torchvision:TorchvisionBackbone",
    "open_clip/image": "extract.backbones.open_clip:OpenClipImages",
    "open_clip/text": "extract.backbones.open_clip:OpenClipTexts",
    "open_clip/both": "extract.backbones.open_clip:OpenClipPairs",
    "onnx/text": "extract.backbones.onnx:OnnxTexts",
    "onnx/image": "extract.backbones.onnx:OnnxImages",
    "import": "extract.backbones.imported:ImportedBackbone",
    "python/module": "extract.backbones.custom_adapter:ModuleAdapter",
    "python/callable": "extract.backbones.custom_adapter:CallableAdapter",
    "python/adapter": "extract.backbones.custom_adapter:GivenAdapter",
}
"""Scheme (and family, where one has several adapters) -> the adapter's import path."""

SCHEMES = tuple(dict.fromkeys(scheme.partition("/")[0] for scheme in LOADERS))

FINDERS = {
    "timm": "extract.backbones.find_timm:find_timm",
    "open_clip": "extract.backbones.find_open_clip:find_open_clip",
    "torchvision": "extract.backbones.find_torchvision:find_torchvision",
    "onnx": "extract.backbones.find_onnx:find_onnx",
    "python": "extract.backbones.custom:find_custom",
    "import": "extract.backbones.imported:find_imported",
}
"""Scheme -> what finds its checkpoints, where that is not `find_checkpoint`."""

WELL_KNOWN = {
    "bert-base-uncased": "hf:google-bert/bert-base-uncased",
    "bert-base-cased": "hf:google-bert/bert-base-cased",
    "bert-large-uncased": "hf:google-bert/bert-large-uncased",
    "roberta-base": "hf:FacebookAI/roberta-base",
    "roberta-large": "hf:FacebookAI/roberta-large",
    "distilbert-base-uncased": "hf:distilbert/distilbert-base-uncased",
    "electra-base-discriminator": "hf:google/electra-base-discriminator",
    "electra-small-discriminator": "hf:google/electra-small-discriminator",
    "all-MiniLM-L6-v2": "st:all-MiniLM-L6-v2",
    "all-MiniLM-L12-v2": "st:all-MiniLM-L12-v2",
    "all-mpnet-base-v2": "st:all-mpnet-base-v2",
    "resnet18": "timm:resnet18",
    "resnet50": "timm:resnet50",
    "resnet101": "timm:resnet101",
    "efficientnet_b0": "timm:efficientnet_b0",
    "efficientnet-b0": "timm:efficientnet_b0",
    "efficientnet-lite0": "timm:tf_efficientnet_lite0",
    "vit_base_patch16_224": "timm:vit_base_patch16_224",
    "vit-base-patch16-224": "hf:google/vit-base-patch16-224",
    "dinov2-small": "hf:facebook/dinov2-small",
    "dinov2-base": "hf:facebook/dinov2-base",
    "clip-vit-base-patch32": "hf:openai/clip-vit-base-patch32",
    "clip-vit-large-patch14": "hf:openai/clip-vit-large-patch14",
    "blip-image-captioning-base": "hf:Salesforce/blip-image-captioning-base",
    "blip-itm-base-coco": "hf:Salesforce/blip-itm-base-coco",
    "paraphrase-multilingual-MiniLM-L12-v2": "st:paraphrase-multilingual-MiniLM-L12-v2",
}


def find_backbone(uri: "str | CustomBackbone") -> Checkpoint:
    """Resolve a URI, a bare name or a custom backbone to a checkpoint that is identified and not loaded.

    `hf:NAME[@REVISION]` and `st:NAME[@REVISION]`, where NAME is on the hub or a local folder; a bare well-known name; or
    a bare folder, whose files say which loader it is for.

    Raises
    ------
    BackboneError
        If the name means nothing here or the checkpoint cannot be found.
    """
    if not isinstance(uri, str):
        return uri.checkpoint
    scheme, name = _split(uri)
    folder = Path(name).expanduser()
    if folder.exists() or "@" not in name:
        return _find(scheme, name, None)
    name, _, revision = name.rpartition("@")
    return _find(scheme, name, revision)


def adapter_of(checkpoint: Checkpoint) -> "type[Backbone]":
    """Import the adapter for a checkpoint (and with it torch)."""
    family = checkpoint.offer.family
    adapter: type[Backbone] = _imported(LOADERS[f"{checkpoint.scheme}/{family}" if family else checkpoint.scheme])
    return adapter


def _find(scheme: str, name: str, revision: str | None) -> Checkpoint:
    if scheme not in FINDERS:
        return find_checkpoint(scheme, name, revision)
    found: Checkpoint = _imported(FINDERS[scheme])(name, revision)
    return found


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _split(uri: str) -> tuple[str, str]:
    scheme, colon, name = uri.partition(":")
    if colon and scheme in SCHEMES and name:
        return scheme, name
    bare, at, revision = uri.partition("@")
    if bare in WELL_KNOWN:
        return _split(WELL_KNOWN[bare] + at + revision)
    folder = Path(uri).expanduser()
    if (folder / "modules.json").is_file():
        return "st", uri
    if (folder / "config.json").is_file():
        return "hf", uri
    if folder.suffix == ".onnx" and folder.is_file():
        return "onnx", uri
    if uri.startswith("sentence-transformers/"):
        return "st", uri
    near = difflib.get_close_matches(bare, WELL_KNOWN, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"write `hf:{uri}` or `st:{uri}` for a model on the hub or in a folder"
    schemes = ", ".join(f"`{scheme}:`" for scheme in SCHEMES)
    raise NoSuchBackboneError(f"backbone `{uri}` is not known; {hint} (loaders are {schemes})")
