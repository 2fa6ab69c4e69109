"""Finding torchvision's classification models: named weights, or a file of weights. torchvision only at first sight."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extract.backbones.checkpoint import Checkpoint, digest
from extract.backbones.hf_families import IMAGE_POOLINGS
from extract.backbones.library_facts import library_fact
from extract.errors import NoSuchBackboneError
from extract.outputs import OWN, Offer


def find_torchvision(name: str, revision: str | None) -> Checkpoint:
    """Find a torchvision model.

    Parameters
    ----------
    name
        A model, with its weights (`resnet50/IMAGENET1K_V1`) or without (`resnet50`, torchvision's default weights).
    revision
        A file of weights (`torchvision:resnet50@weights.pth`).

    Raises
    ------
    BackboneError
        If there is no such model, weights or file.
    """
    model, _, weights = name.partition("/")
    facts = torchvision_facts(model, weights)
    layers = [pooling for pooling in IMAGE_POOLINGS if pooling != "cls" or facts["class_token"]]
    offer = Offer(1, OWN, (OWN,), layers, first=1, takes="image")
    settings = json.dumps(facts["transform"], sort_keys=True, separators=(",", ":"))
    if revision is not None:
        file = Path(revision).expanduser()
        if not file.is_file():
            raise NoSuchBackboneError(f"torchvision:{name}@{revision}: there is no such file of weights")
        return Checkpoint("torchvision", model, str(file), None, digest(file.parent, [file]), settings, offer)
    return Checkpoint("torchvision", f"{model}/{facts['weights']}", "", None, f"url:{facts['url']}", settings, offer)


def torchvision_facts(model: str, weights: str) -> Mapping[str, Any]:
    """Return what torchvision says of a model and its weights: `weights`, `url`, `transform`, `class_token`."""
    question = f"model {model}/{weights}"
    facts: Mapping[str, Any] = library_fact("torchvision", question, lambda: _ask_torchvision(model, weights))
    return facts


def _ask_torchvision(model: str, weights: str) -> dict[str, Any]:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if model not in known:
        near = difflib.get_close_matches(model, known, n=1)
        hint = f"did you mean `torchvision:{near[0]}`?" if near else "`torchvision.models.list_models()` lists them"
        raise NoSuchBackboneError(f"torchvision:{model}: torchvision has no such classification model; {hint}")
    choices = torchvision.models.get_model_weights(model)
    if weights and weights not in choices.__members__:
        names = ", ".join(choices.__members__)
        raise NoSuchBackboneError(f"torchvision:{model}/{weights}: no such weights; weights are {names}")
    chosen = choices[weights] if weights else choices.DEFAULT
    transform = " ".join(repr(chosen.transforms()).split())
    return {"weights": chosen.name, "url": chosen.url, "transform": transform, "class_token": model.startswith("vit_")}
