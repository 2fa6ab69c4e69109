"""Backbones of the user's own: a torch module with a preprocessing function, a plain callable, or an adapter (`python:`)."""

import dataclasses
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cache import HeadstartError
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.code_identity import digest_code, digest_state
from extract.errors import BackboneError, NoSuchBackboneError
from extract.outputs import OWN, Offer


@dataclasses.dataclass(frozen=True)
class CustomBackbone:
    """A backbone that exists in memory, and what identifies it; made by `custom_backbone`.

    Attributes
    ----------
    model
        A torch module, a callable from samples to features, or an adapter (`extract.backbones.base.Backbone`).
    preprocess
        Turns one sample into what the module takes; None for a callable and an adapter.
    checkpoint
        Name, identity and outputs.
    """

    model: Any
    preprocess: Callable[[Any], Any] | None
    checkpoint: Checkpoint


def custom_backbone(
    model: Any,
    preprocess: Callable[[Any], Any] | None = None,
    *,
    name: str | None = None,
    version: str | int | None = None,
    takes: str = "text",
    outputs: Sequence[str] = (OWN,),
    offer: Offer | None = None,
) -> CustomBackbone:
    """Make a backbone of a model of one's own.

    Parameters
    ----------
    model
        A torch module, which is given a batch `[b, ...]` of what `preprocess` makes (its keyword arguments, if that is a
        mapping) and returns features `[b, d]`; or a callable, which is given a list of samples and returns an array `[b, d]`;
        or an adapter. Module and callable return a mapping output -> `[b, d]` where there are several outputs.
    preprocess
        For a module: turns one sample into a tensor, or a mapping of tensors, of one shape. Images come as RGB pictures
        of PIL. To refuse a sample it raises `UnusableSampleError` with the reason.
    name
        What the recipe calls it; the class's or function's name by default.
    version
        Stands for the code in the recipe, to be raised with every change that changes a feature. By default the source files
        of module, callable and `preprocess` do, and a module's weights always.
    takes
        The kind of samples: `text`, `image` or `image and text`.
    outputs
        Names of the features, the default one first.
    offer
        For an adapter, and needed for one: which layers and poolings it has.

    Returns
    -------
    CustomBackbone
        For `extract(samples, backbone=...)`.

    Raises
    ------
    BackboneError
        If no `version` is given and the code cannot be identified.
    """
    inner = getattr(model, "model", model)
    has_state = hasattr(inner, "state_dict")
    if preprocess is None and has_state and inner is model:
        raise BackboneError("a torch module needs a `preprocess` that turns a sample into its input")
    name = str(name or getattr(model, "__qualname__", type(model).__qualname__))
    try:
        code = digest_code(*_parts(model, preprocess)) if version is None else f"version:{version}"
    except BackboneError as error:
        raise BackboneError(f"python:{name}: {error}") from error
    family = "module" if preprocess is not None else "adapter" if offer is not None else "callable"
    offer = dataclasses.replace(offer or Offer(0, outputs[0], tuple(outputs), poolings=(), takes=takes), family=family)
    weights = digest_state(inner) if has_state else "none"
    made = CustomBackbone(model, preprocess, Checkpoint("python", name, name, None, weights, code, offer))
    return dataclasses.replace(made, checkpoint=dataclasses.replace(made.checkpoint, custom=made))


def _parts(model: Any, preprocess: Any) -> list[Any]:
    """Return all that says what a backbone does; of an adapter also what it holds besides its module."""
    if hasattr(model, "model"):
        return [type(model), model.model, {name: value for name, value in vars(model).items() if name != "model"}]
    return [model] if preprocess is None else [model, preprocess]


def find_custom(name: str, revision: str | None) -> Checkpoint:
    """Call the factory `package.module:factory`, or `file.py:factory`, and identify what it makes.

    The factory returns what `custom_backbone` returns, or its arguments: a callable or adapter alone, or a module with its
    preprocessing function.

    Raises
    ------
    BackboneError
        If there is no such factory, or it fails.
    """
    place = f"python:{name}"
    if revision is not None:
        raise NoSuchBackboneError(f"{place}@{revision}: code has no revisions; leave out @{revision}")
    module, colon, factory = name.rpartition(":")
    if not colon:
        raise NoSuchBackboneError(f"{place}: expected python:package.module:factory or python:file.py:factory")
    make = getattr(_import(module, place), factory, None)
    if not callable(make):
        raise NoSuchBackboneError(f"{place}: {module} has no function `{factory}`")
    try:
        made = make()
        if not isinstance(made, CustomBackbone):
            made = custom_backbone(*made) if isinstance(made, tuple) else custom_backbone(made)
    except HeadstartError:
        raise
    except Exception as error:
        raise BackboneError(f"{place}: the factory failed with {type(error).__name__}: {error}") from error
    short = f"{Path(module).stem if module.endswith('.py') else module}:{factory}"
    return dataclasses.replace(made.checkpoint, name=short)


def _import(module: str, place: str) -> Any:
    try:
        if module.endswith(".py"):
            path = Path(module).expanduser().resolve()
            if not path.is_file():
                raise NoSuchBackboneError(f"{place}: there is no file {module}")
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            loaded = sys.modules.get(path.stem)
            if loaded is None or getattr(loaded, "__file__", None) != str(path):
                loaded = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(loaded)
            return loaded
        if os.getcwd() not in sys.path:  # as `python -m` has it
            sys.path.append(os.getcwd())
        return importlib.import_module(module)
    except HeadstartError:
        raise
    except Exception as error:
        kind = NoSuchBackboneError if isinstance(error, ModuleNotFoundError) else BackboneError
        raise kind(f"{place}: cannot be imported: {type(error).__name__}: {error}") from error
