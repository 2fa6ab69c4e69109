"""Finding open_clip's models: named ones with a tag, repositories on the hub, folders, and files of weights."""

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from extract.backbones.checkpoint import Checkpoint, Fetch, digest, in_folder, on_hub
from extract.backbones.families import read_json
from extract.backbones.hf_families import IMAGE_POOLINGS, PROJECTED
from extract.backbones.library_facts import library_fact
from extract.errors import BackboneError, NoSuchBackboneError
from extract.outputs import OWN, POOLINGS, Offer

CONFIG = "open_clip_config.json"


def find_open_clip(name: str, revision: str | None) -> Checkpoint:
    """Find an open_clip model.

    Parameters
    ----------
    name
        One of open_clip's models with a tag (`ViT-B-32/laion2b_s34b_b79k`) or with a file of weights
        (`ViT-B-32//models/mine.pt`); a repository on the hub (`laion/CLIP-ViT-B-32-laion2B-s34B-b79K`); or a folder with
        `open_clip_config.json`.
    revision
        Revision on the hub.

    Raises
    ------
    BackboneError
        If it is nowhere.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return in_folder("open_clip", folder.resolve().name, folder, _describe)
    model, slash, tag = name.partition("/")
    if (config := _built_in(model)) is not None:
        return _built_in_model(model, tag, revision, _offer(config))
    if slash and not name.startswith((".", "/", "~")):
        return on_hub("open_clip", name, revision or "main", _describe)
    near = difflib.get_close_matches(model, _model_names(), n=1)
    hint = f"; did you mean `open_clip:{near[0]}`?" if near else ", and no such folder"
    raise NoSuchBackboneError(f"open_clip:{name}: open_clip has no such model{hint}")


def tag_facts(model: str, tag: str) -> Mapping[str, Any]:
    """Return what open_clip says of a pretrained tag: `hf_hub`, `url`, `mean`, `std`, `quick_gelu`, ...; empty if unknown."""
    facts: Mapping[str, Any] = library_fact("open_clip", f"tag {model}/{tag}", lambda: _ask_open_clip(model, tag))
    return facts


def _built_in_model(model: str, tag: str, revision: str | None, offer: Offer) -> Checkpoint:
    if (file := Path(tag).expanduser()).is_file():
        return Checkpoint("open_clip", model, str(file), None, digest(file.parent, [file]), "built in", offer)
    tags = library_fact("open_clip", f"tags {model}", lambda: _ask_tags(model))
    if tag not in tags:
        near = difflib.get_close_matches(tag, tags, n=1) or tags[:1]
        hint = f"write `open_clip:{model}/{near[0]}`" if near else "open_clip has none for this model"
        raise NoSuchBackboneError(f"open_clip:{model}/{tag}: no such pretrained tag; {hint} (or a file of weights)")
    facts, name = tag_facts(model, tag), f"{model}/{tag}"
    if facts.get("hf_hub"):
        found = on_hub("open_clip", os.path.dirname(facts["hf_hub"]), revision or "main", lambda *_: offer)
        return replace(found, name=name)
    return Checkpoint("open_clip", name, "", None, f"url:{facts['url']}", "built in", offer)


def _built_in(model: str) -> Any:
    folder = _configs()
    path = folder / f"{model}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def _model_names() -> list[str]:
    return sorted(path.stem for path in _configs().glob("*.json"))


def _configs() -> Path:
    found = find_spec("open_clip")
    if found is None or found.origin is None:
        raise BackboneError("open_clip is not installed; `pip install open_clip_torch`")
    return Path(found.origin).parent / "model_configs"


def _describe(scheme: str, fetch: Fetch, place: str) -> Offer:
    config = read_json(fetch(CONFIG), place)
    if not isinstance(config, dict) or not isinstance(config.get("model_cfg"), dict):
        raise BackboneError(f"{place}: no {CONFIG} with a `model_cfg`, so this is no checkpoint of open_clip")
    return _offer(config["model_cfg"])


def _offer(config: Mapping[str, Any]) -> Offer:
    """Read a model's outputs out of its configuration."""
    vision, text = config.get("vision_cfg") or {}, config.get("text_cfg") or {}
    both = Offer(0, OWN, (OWN,), (), takes="image and text", family="both")
    own = PROJECTED if "multimodal_cfg" not in config else PROJECTED[:2]
    if "hf_model_name" in text:  # its intermediate layers are not given out
        texts = Offer(0, OWN, PROJECTED[:2], (), takes="text", family="text")
    else:
        texts = Offer(int(text.get("layers", 12)), OWN, own, POOLINGS, first=1, takes="text", family="text")
    others = (texts, both)
    if isinstance(vision.get("layers"), int) and "timm_model_name" not in vision:
        return Offer(vision["layers"], OWN, own, IMAGE_POOLINGS, 1, "image", "image", others)
    return Offer(0, OWN, PROJECTED[:2], (), takes="image", family="image", others=others)


def _ask_open_clip(model: str, tag: str) -> dict[str, Any]:
    import open_clip

    return dict(open_clip.get_pretrained_cfg(model, tag))


def _ask_tags(model: str) -> list[str]:
    import open_clip

    return list(open_clip.list_pretrained_tags_by_model(model))
