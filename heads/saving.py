"""Saved heads: a folder with `head.json` and `head.safetensors`, or `head.skops` for scikit-learn's own estimators.

A head says what has to be kept of it: `saved_arrays`, fitted arrays with a letter for each of their sizes (`coef:rd`), and
`saved_values`, fitted numbers. Sizes of one letter must agree: d features, c classes, r rows of scores.
Nothing is unpickled, and a file can name nothing but classes of scikit-learn and heads of this package: a head may come from
somebody else. `head.json` keeps the other file's SHA-256, so that damage is noticed.
"""

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load, save
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils.validation import check_is_fitted

from heads.callbacks import History
from heads.catalog import HEADS, REGRESSORS
from heads.sweep import SweepCV
from heads.trained import TrainedHead

FORMAT = 1
KINDS = HEADS | {f"{kind}_regression": cls for kind, cls in REGRESSORS.items() if kind != "linear"}
_APART = "head, and what comes before it on its own"
ARE_BIG = ("embeddings",)  # parameters that the saved tensors hold in another form
PAIRS = "pairs"
TENSORS, SKOPS = "head.safetensors", "head.skops"


@dataclasses.dataclass(frozen=True)
class SavedHead:
    """A head read back, and what it was saved with: the features it expects, in the saver's words."""

    head: BaseEstimator
    expects: Mapping[str, Any]

    def check(self, **features: Any) -> None:
        """Refuse features that are not those the head was fitted on, such as `check(recipe=..., output=...)`.

        Raises
        ------
        ValueError
            In one line, if one of them is not what the head expects.
        """
        for name, value in features.items():
            if name in self.expects and self.expects[name] != value:
                raise ValueError(f"the head expects {name} {self.expects[name]!r}, and these features are of {name} {value!r}")


def save_head(head: BaseEstimator, folder: Path | str, expects: Mapping[str, Any] | None = None) -> None:
    """Save a fitted head into a folder.

    Parameters
    ----------
    head
        A fitted head of a kind in `HEADS` or `REGRESSORS`, or any fitted scikit-learn estimator. Callbacks, and other
        parameters that are no plain values, go back to their defaults.
    folder
        Made if it is not there.
    expects
        What features the head is for (recipe, output, ...); JSON values, given back by `load_head`.

    Raises
    ------
    ValueError
        If `load_head` would not read it: a search of this package, or an estimator that holds more than estimators of
        scikit-learn, heads that are no torch modules, and arrays. Nothing is written then.
    """
    if isinstance(head, SweepCV):
        raise ValueError(f"{type(head).__name__} is a search; save its `best_estimator_`")
    check_is_fitted(head)
    folder = Path(folder)
    kind = next((kind for kind, cls in KINDS.items() if type(head) is cls), "skops")
    description: dict[str, Any] = {"format": FORMAT, "kind": kind, "expects": dict(expects or {})}
    if kind == "skops":
        import skops.io

        description["class"] = f"{type(head).__module__}.{type(head).__qualname__}"
        inside = [type(part).__name__ for part in head.get_params().values() if isinstance(part, TrainedHead)]
        if inside:
            raise ValueError(f"{type(head).__name__} holds {inside[0]}, whose weights are tensors; save that {_APART}")
        try:
            name, other, content = SKOPS, TENSORS, skops.io.dumps(head)
        except Exception as error:  # skops raises what the object that it cannot take apart raises
            raise ValueError(f"{type(head).__name__} cannot be saved ({_reason(error)}); save the {_APART}") from error
        if strange := _strange_types(skops.io.get_untrusted_types(data=content)):
            raise ValueError(f"{type(head).__name__} holds {', '.join(strange)}, which are not read back; save the {_APART}")
    else:
        description |= {"params": _plain_params(head), "features": head.n_features_in_}
        description["values"] = {name: getattr(head, f"{name}_") for name in getattr(head, "saved_values", ())}
        if is_classifier(head):
            description |= {"classes": head.classes_.tolist(), "multilabel": head.multilabel_}
        if isinstance(head, TrainedHead):
            description["history"] = dataclasses.asdict(head.history_)
        module = getattr(head, "module", None)
        if module is not None:
            maker = type(module) if isinstance(module, torch.nn.Module) else module
            description["module"] = f"{maker.__module__}.{maker.__qualname__}"
        name, other, content = TENSORS, SKOPS, save(_tensors(head))
    description["sha256"] = hashlib.sha256(content).hexdigest()
    told = json.dumps(description, indent=2, default=_plain) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    (folder / other).unlink(missing_ok=True)  # of a head that was here before
    (folder / "head.json").write_text(told, encoding="utf-8")


def load_head(folder: Path | str, module: Any = None) -> SavedHead:
    """Read a head that `save_head` saved; it predicts as the saved one did.

    Parameters
    ----------
    folder
        Where it is.
    module
        For a head around a torch module of yours: that module, its class, or the function that makes it.

    Raises
    ------
    ValueError
        If the folder holds no head that can be read safely, in one line.
    """
    folder = Path(folder)
    try:
        description = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ValueError(f"head format {description['format']!r} is not known here (this is {FORMAT}); update headstart")
        kind = description["kind"]
        is_skops = kind == "skops"
        if not is_skops and kind not in KINDS:
            raise ValueError(f"head kind {kind!r} is not known here; update headstart")
        name = SKOPS if is_skops else TENSORS
        content = (folder / name).read_bytes()
        if description.get("sha256") not in (None, hashlib.sha256(content).hexdigest()):
            raise ValueError(f"{name} is damaged: it is not what was saved")
        head = _load_skops(content) if is_skops else _load_tensors(content, description, module)
        return SavedHead(head, dict(description["expects"]))
    except Exception as error:  # whatever is wrong with a file from elsewhere, it is one clear line
        raise ValueError(f"{folder}: holds no usable head: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{Path(error.filename).name}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, KeyError):
        return f"head.json lacks {error}, or has it wrong"
    told = str(error).strip() or type(error).__name__
    return f"head.json is not of the form that heads have: {told}" if isinstance(error, TypeError) else told.splitlines()[0]


def _tensors(head: Any) -> dict[str, np.ndarray]:
    names = [entry.partition(":")[0] for entry in head.saved_arrays]
    found = {name: getattr(head, f"{name}_") for name in names}
    tensors = {name: np.ascontiguousarray(array) for name, array in found.items() if array is not None}
    if isinstance(head, TrainedHead):
        weights = head.module_.state_dict()
        tensors |= {f"module.{name}": tensor.detach().cpu().contiguous().numpy() for name, tensor in weights.items()}
    return tensors


def _load_tensors(content: bytes, description: Mapping[str, Any], module: Any) -> BaseEstimator:
    head: Any = KINDS[description["kind"]](**_params(description, module))
    tensors = load(content)
    if any(array.dtype.kind == "f" and np.isnan(array).any() for array in tensors.values()):
        raise ValueError(f"{TENSORS} is damaged: it holds NaN in the place of numbers")
    head.n_features_in_ = int(description["features"])
    sizes = {"d": head.n_features_in_}
    if is_classifier(head):
        head.classes_, head.multilabel_ = _classes(description), description.get("multilabel", False)
        if not isinstance(head.multilabel_, bool):
            raise ValueError(f"`multilabel` is {head.multilabel_!r} where true or false is expected")
        sizes["c"] = len(head.classes_)
        sizes["r"] = 1 if sizes["c"] == 2 and not head.multilabel_ else sizes["c"]
    for entry in head.saved_arrays:
        name, _, shape = entry.partition(":")
        is_there = name in tensors or not shape.endswith("?")  # what ends so may be None
        setattr(head, f"{name}_", _checked(name, tensors.pop(name), shape.rstrip("?"), sizes) if is_there else None)
    for name in getattr(head, "saved_values", ()):
        value = description["values"][name]
        if not isinstance(value, bool | int | float):
            raise ValueError(f"`{name}` is {value!r} where a number is expected")
        setattr(head, f"{name}_", value)
    if isinstance(head, TrainedHead):
        head.history_ = History(**description["history"])
        head.callbacks_ = []
        weights = {name.removeprefix("module."): torch.from_numpy(array) for name, array in tensors.items()}
        with torch.device("meta"):  # sizes come from the file: nothing is allocated before they are seen to fit
            head.module_ = head._build()
        head.module_.load_state_dict(weights, assign=True)
        head.module_.eval()
    return head


def _params(description: Mapping[str, Any], module: Any) -> dict[str, Any]:
    params = {
        name: dict(value[PAIRS]) if isinstance(value, dict) and list(value) == [PAIRS] else value
        for name, value in description["params"].items()
    }
    if "module" in description:
        if module is None:
            raise ValueError(f"it was trained around `{description['module']}`; give that as `load_head(..., module=...)`")
        params["module"] = module
    return params


def _classes(description: Mapping[str, Any]) -> np.ndarray:
    names = description["classes"]
    if not (isinstance(names, list) and len(names) > 1 and all(isinstance(name, str | bool | int | float) for name in names)):
        raise ValueError("`classes` is no list of at least two labels")
    return np.asarray(names)


def _checked(name: str, array: np.ndarray, shape: str, sizes: dict[str, int]) -> np.ndarray:
    """Return a tensor if it is of floats and its shape fits what is known; a size seen for the first time becomes known."""
    if array.dtype not in (np.float32, np.float64) or array.ndim != len(shape):
        raise ValueError(
            f"tensor `{name}` is {array.dtype} {list(array.shape)}, where floats of {len(shape)} dimensions are expected"
        )
    for size, letter in zip(array.shape, shape, strict=True):
        if sizes.setdefault(letter, size) != size:
            raise ValueError(f"tensor `{name}` is {list(array.shape)}, which does not fit the other sizes")
    return array


def _load_skops(content: bytes) -> BaseEstimator:
    import skops.io

    unusual = skops.io.get_untrusted_types(data=content)
    if strange := _strange_types(unusual):
        raise ValueError(f"{SKOPS} needs types that are not scikit-learn's: {', '.join(strange)}")
    head: BaseEstimator = skops.io.loads(content, trusted=unusual)
    return head


def _strange_types(unusual: Sequence[str]) -> list[str]:
    """Return those types that are neither scikit-learn's nor heads whose numbers are arrays."""
    heads = {f"{cls.__module__}.{cls.__qualname__}" for cls in KINDS.values() if not issubclass(cls, TrainedHead)}
    return [name for name in unusual if name not in heads and not _is_class_of_sklearn(name)]


def _is_class_of_sklearn(name: str) -> bool:
    """Whether a name leads to a class that scikit-learn defines, and not to something that one of its modules imported."""
    module, _, attribute = name.rpartition(".")
    if not module.startswith("sklearn."):
        return False
    found = getattr(importlib.import_module(module), attribute, None)
    return isinstance(found, type) and found.__module__.startswith("sklearn.")


def _plain_params(head: BaseEstimator) -> dict[str, Any]:
    """Return the parameters that JSON can hold; keys that are no texts go in as pairs."""
    params = {}
    for name, value in head.get_params(deep=False).items():
        if name in ARE_BIG or name in ("module", "callbacks"):
            continue
        if isinstance(value, Mapping) and any(not isinstance(key, str) for key in value):
            value = {PAIRS: [[key, weight] for key, weight in value.items()]}  # noqa: PLW2901
        try:
            json.dumps(value, default=_plain)
        except TypeError:
            continue
        params[name] = value
    return params


def _plain(value: Any) -> Any:
    """Give JSON what numpy holds."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be saved as JSON")
