"""Saved heads: a folder with `head.json` and `head.safetensors`, or `head.skops` for scikit-learn's own estimators.

Nothing is unpickled: a head may come from somebody else.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.base import BaseEstimator

from heads.catalog import HEADS
from heads.linear import LinearHead
from heads.mlp import MLPHead
from heads.training import History

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class SavedHead:
    """A head read back, and what it was saved with: the features it expects, in the saver's words."""

    head: BaseEstimator
    expects: Mapping[str, Any]


def save_head(head: BaseEstimator, folder: Path, expects: Mapping[str, Any] | None = None) -> None:
    """Save a fitted head into a folder.

    Parameters
    ----------
    head
        A fitted `LinearHead` or `MLPHead`, or any fitted scikit-learn classifier.
    folder
        Made if it is not there.
    expects
        What features the head is for (recipe, output, ...); JSON values, given back by `load_head`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kind = next((kind for kind, cls in HEADS.items() if type(head) is cls), "skops")
    description: dict[str, Any] = {"format": FORMAT, "kind": kind, "expects": dict(expects or {})}
    if kind == "skops":
        import skops.io

        description["class"] = f"{type(head).__module__}.{type(head).__qualname__}"
        skops.io.dump(head, folder / "head.skops")
    else:
        description |= {"params": head.get_params(), "classes": head.classes_.tolist(), "features": head.n_features_in_}
        save_file(_tensors(head), folder / "head.safetensors")
        if isinstance(head, MLPHead):
            description["history"] = dataclasses.asdict(head.history_)
    (folder / "head.json").write_text(json.dumps(description, indent=2, default=_plain) + "\n", encoding="utf-8")


def load_head(folder: Path) -> SavedHead:
    """Read a head that `save_head` saved; it predicts as the saved one did.

    Raises
    ------
    ValueError
        If the folder holds no head that can be read safely, in one line.
    """
    try:
        description = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ValueError(f"head format {description['format']!r} is not known here (this is {FORMAT}); update headstart")
        head = _load_skops(folder) if description["kind"] == "skops" else _load_tensors(folder, description)
        return SavedHead(head, dict(description["expects"]))
    except (OSError, KeyError, TypeError, AttributeError, ValueError, SafetensorError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"{folder}: holds no usable head: {reason}") from error


def _tensors(head: LinearHead | MLPHead) -> dict[str, np.ndarray]:
    if isinstance(head, LinearHead):
        return {"coef": np.ascontiguousarray(head.coef_), "intercept": head.intercept_}
    weights = {f"module.{name}": tensor.cpu().numpy() for name, tensor in head.module_.state_dict().items()}
    return {"mean": head.mean_, "scale": head.scale_} | weights


def _load_tensors(folder: Path, description: Mapping[str, Any]) -> BaseEstimator:
    head = HEADS[description["kind"]](**description["params"])
    tensors = load_file(folder / "head.safetensors")
    head.classes_ = np.asarray(description["classes"])
    head.n_features_in_ = int(description["features"])
    if isinstance(head, LinearHead):
        head.coef_, head.intercept_ = tensors["coef"], tensors["intercept"]
        rows = 1 if len(head.classes_) == 2 else len(head.classes_)
        _expect(head.coef_, (rows, head.n_features_in_))
        _expect(head.intercept_, (rows,))
    elif isinstance(head, MLPHead):
        head.mean_, head.scale_ = tensors.pop("mean"), tensors.pop("scale")
        _expect(head.mean_, (head.n_features_in_,))
        _expect(head.scale_, (head.n_features_in_,))
        head.history_ = History(**description["history"])
        weights = {name.removeprefix("module."): torch.from_numpy(array) for name, array in tensors.items()}
        with torch.device("meta"):  # sizes come from the file: nothing is allocated before they are seen to fit
            head.module_ = head._build()
        head.module_.load_state_dict(weights, assign=True)
        head.module_.eval()
    return head


def _load_skops(folder: Path) -> BaseEstimator:
    import skops.io

    file = folder / "head.skops"
    unusual = skops.io.get_untrusted_types(file=file)
    strange = [name for name in unusual if not name.startswith("sklearn.")]
    if strange:
        raise ValueError(f"head.skops needs types that are not scikit-learn's: {', '.join(strange)}")
    head: BaseEstimator = skops.io.load(file, trusted=unusual)
    return head


def _expect(array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"a tensor is {array.shape} where {shape} is expected")


def _plain(value: Any) -> Any:
    """Give JSON what numpy holds."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be saved as JSON")
