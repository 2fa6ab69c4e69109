"""`headstart doctor`: what this machine would use, and what is missing."""

import importlib.util
import os
import platform
from typing import Any

from cache import FeatureStore, StoreError
from extract import BackboneError, find_backbone
from extract.backbones.checkpoint import PACKAGED
from extract.devices import (
    choose_device,
    choose_precision,
    count_workers,
    default_budget,
    why_device,
    why_precision,
)
from pipelines.environment import library_versions


def examine(store: str = "features") -> dict[str, Any]:
    """Return versions, device, precision, backbones installed as packages, the store's state, and what to mend.

    Parameters
    ----------
    store
        The feature store's folder.
    """
    problems: list[str] = []
    versions = library_versions()
    problems += [f"{name} is not installed; `pip install {name}`" for name, version in versions.items() if version is None]
    device = choose_device()
    precision = choose_precision("auto", device)
    backbones = []
    for name in sorted({name.rpartition("/")[2] for name in PACKAGED}):
        try:
            checkpoint = find_backbone(f"st:{name}") if importlib.util.find_spec(PACKAGED[name]) else None
        except BackboneError as error:
            checkpoint = None
            problems.append(str(error))
        backbones.append({"name": name, "installed": checkpoint is not None, "weights": checkpoint and checkpoint.weights})
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "device": device,
        "device_reason": why_device(device),
        "precision": precision,
        "precision_reason": why_precision(precision, device),
        "batch": {"tokens": default_budget("tokens", device), "images": default_budget("images", device)},
        "workers": count_workers(device),
        "libraries": versions,
        "backbones": backbones,
        "hub_cache": os.environ.get("HF_HOME") or os.path.join("~", ".cache", "huggingface"),
        "hub_offline": os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"),
        "store": _examine_store(store, problems),
        "problems": problems,
    }


def _examine_store(path: str, problems: list[str]) -> dict[str, Any]:
    try:
        recipes = FeatureStore(path).recipes()
    except StoreError as error:
        problems.append(str(error))
        return {"path": path, "recipes": None}
    return {"path": path, "recipes": len(recipes)}
