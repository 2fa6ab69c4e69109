"""Saved models: a folder with `model.json` and `model.safetensors`."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cache import FeatureStore
from extract import BackboneSpec
from pipelines.errors import RunError, UsageError
from pipelines.models.backbone_module import BackboneModule
from pipelines.models.classifiers import CLASSIFIERS

if TYPE_CHECKING:
    from pipelines.models.model import FeatureBasedModel

DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"


def save_model(model: "FeatureBasedModel", folder: Path) -> None:
    """Write a model into a folder; see `FeatureBasedModel.save`."""
    backbone = model.adapted("save")
    if model.made_of is None or not isinstance(backbone.spec.backbone, str):
        raise UsageError("save knows backbones and classifiers by name; keep `state_dict()` of modules of your own")
    changed = not backbone.is_as_loaded
    description: dict[str, Any] = {
        "backbone": dataclasses.asdict(backbone.spec),
        "weights": backbone.checkpoint.weights,
        "kind": backbone.kind,
        "output": backbone.output.name,
        "task": model.task,
        "standardize": model.standardize,
        "classes": model.classes,
        "backbone_changed": changed,
        **model.made_of,
    }
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    kept = {name: value.contiguous() for name, value in state.items() if changed or not name.startswith("backbone.")}
    save_file(kept, folder / WEIGHTS)
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_model(kind: type["FeatureBasedModel"], folder: Path, device: str, store: str | FeatureStore) -> "FeatureBasedModel":
    """Read a model of a class; see `FeatureBasedModel.load`."""
    try:
        told = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS)
        spec = BackboneSpec(**told["backbone"])
        classifier = CLASSIFIERS[told["classifier"]](**told["params"])
        backbone = BackboneModule.load(spec, told["kind"], told["output"], device)
        if not told["backbone_changed"] and backbone.checkpoint.weights != told["weights"]:
            raise RunError(f"{folder}: {spec.backbone} has other weights now than when the model was trained; train again")
        task = told.get("task", "classification")  # of all models once
        model = kind(backbone, classifier, task=task, standardize=told["standardize"], store=store)
        missing, strange = model.load_state_dict(weights, strict=False)
        if strange or any(told["backbone_changed"] or not name.startswith("backbone.") for name in missing):
            raise RunError(f"{folder}: {WEIGHTS} does not hold this model's weights")
        model.classes = told["classes"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, UsageError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RunError(f"{folder}: not a saved model that can be used: {reason}") from error
    model.made_of = {"classifier": told["classifier"], "params": told["params"]}
    return model.to(backbone.device).eval()
