"""The YAML file of an experiment, read into a `Config`; messages name the line. Paths in it are relative to the file."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from cache.place import absolute
from extract.remote import is_url
from pipelines.backbone_config import Backbone, EngineChoice, Loop, OutputChoice, ViewChoice
from pipelines.compare_config import CompareChoice
from pipelines.config import Config, Data, Head, MisplacedError, Search, Selection, change_of
from pipelines.errors import UsageError
from pipelines.unfreeze_config import UnfreezeChoice, UnfreezePhase


class _Loader(yaml.SafeLoader):
    """YAML 1.2's floats, so that `1e-3` is a number and not a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$|^[-+]?\.inf$|^\.nan$"),
    list("-+0123456789."),
)
# PyYAML asks resolvers in the order they were added: integers must stay integers
for _first, _resolvers in _Loader.yaml_implicit_resolvers.items():
    _resolvers.sort(key=lambda entry: entry[0] == "tag:yaml.org,2002:float")


def load_config(path: Path, changes: Sequence[str] = ()) -> Config:
    """Read a config.

    Parameters
    ----------
    path
        The YAML file.
    changes
        `a.b=value` each, applied before anything is checked; the value is YAML, list entries are numbered from 0.

    Raises
    ------
    UsageError
        If the file cannot be read or anything in it is wrong: one line with file, line, key and the nearest valid name.
    """
    if path.is_dir():
        inside = f"its `{path / 'config.yaml'}`" if (path / "config.yaml").is_file() else "a config's file"
        raise UsageError(f"{path}: is a folder; name {inside}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, UnicodeDecodeError) and (told := _if_data(path)):
            raise UsageError(told) from error
        raise UsageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        node = yaml.compose(text, _Loader)
        content = yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UsageError(_if_data(path) or f"{place}: not YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(content, dict):
        raise UsageError(_if_data(path) or f"{path}: is no mapping of keys; a config begins with `name:` or `data:`")
    lines = _lines(path, node)
    bare = {"backbones": Config._bare_names, "heads": Config._bare_kinds, "engine": Config._bare_engine}
    content |= {key: spell_out(content[key]) for key, spell_out in bare.items() if key in content}
    for change in changes:
        _apply(content, change)
    content.setdefault("name", path.stem)
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise UsageError(_explain(path, lines, error, changes)) from error
    config = _with_paths(config, path.parent)
    config._path, config._lines, config._changes = path, lines, tuple(changes)
    return config


def _if_data(path: Path) -> str | None:
    """Say that a file holds data, if it is named so, and how it gets a config."""
    if path.suffix.lower() in _DATA:
        return f"{path}: is no config, and looks like data; `headstart init {path}` writes a config for it"
    return None


def _apply(content: dict[str, Any], change: str) -> None:
    place, equals, value = change.partition("=")
    if not equals or not place:
        raise UsageError(f"--set {change}: expected KEY=VALUE, such as selection.folds=3")
    *parents, last = place.split(".")
    at: Any = content
    try:
        for name in parents:
            if isinstance(at, list):
                at = at[int(name)]
            else:
                if not isinstance(at.get(name), dict | list):
                    at[name] = {}
                at = at[name]
        at[int(last) if isinstance(at, list) else last] = yaml.load(value, _Loader)  # noqa: S506
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise UsageError(f"--set {change}: the config has no place `{place}`") from error
    except yaml.YAMLError as error:
        raise UsageError(f"--set {change}: the value is not YAML") from error


def _lines(path: Path, node: yaml.Node | None, place: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], int]:
    """Map every key's path in the file to its line; a key that stands twice is refused."""
    lines: dict[tuple[str | int, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if (*place, key.value) in lines:
                raise UsageError(f"{path}:{key.start_mark.line + 1}: `{key.value}` stands here twice")
            lines[(*place, key.value)] = key.start_mark.line + 1
            lines |= _lines(path, value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            lines[(*place, number)] = value.start_mark.line + 1
            lines |= _lines(path, value, (*place, number))
    return lines


def _explain(path: Path, lines: Mapping[tuple[str | int, ...], int], error: ValidationError, changes: Sequence[str]) -> str:
    """Put the first fault of a config in one line."""
    fault = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")  # a misspelt key is also missing
    unknown = fault["loc"][-1] if fault["type"] == "extra_forbidden" else None
    raised = fault.get("ctx", {}).get("error")
    full = (*fault["loc"], *(raised.place if isinstance(raised, MisplacedError) else ()))
    place = tuple(part for part in full if isinstance(part, int) or part in _KEYS or part == unknown)
    known = [place[:length] for length in range(len(place), 0, -1) if place[:length] in lines]
    where = f"{path}:{lines[known[0]]}" if known else str(path)
    key = ".".join(map(str, place))
    where = change_of(place, changes) or where
    if fault["type"] == "extra_forbidden":
        fields = _fields_at(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), fields, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"keys are {', '.join(fields)}"
        return f"{where}: `{place[-1]}` is not a key here; {hint}"
    if fault["type"] == "missing":
        return f"{where}: `{key}` is missing"
    message = fault["msg"].removeprefix("Value error, ")
    shown = repr(fault["input"])
    value = f" (it is {shown[:60]})" if fault["type"] != "value_error" else ""
    return f"{where}: `{key}`: {message[:1].lower() + message[1:]}{value}"


_DATA = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_PARTS: dict[str, type[BaseModel]] = {
    "data": Data, "backbones": Backbone, "outputs": OutputChoice, "heads": Head, "selection": Selection,
    "loop": Loop, "search": Search, "engine": EngineChoice,
    "views": ViewChoice, "compare": CompareChoice,
    "unfreeze": UnfreezeChoice, "phases": UnfreezePhase,
}  # fmt: skip
_KEYS = {*Config.model_fields, *(name for part in _PARTS.values() for name in part.model_fields)}


def _fields_at(place: tuple[str | int, ...]) -> list[str]:
    part = next((_PARTS[name] for name in reversed(place) if isinstance(name, str) and name in _PARTS), Config)
    return list(part.model_fields)


def _with_paths(config: Config, base: Path) -> Config:
    """Make paths that are relative to the config's file usable from anywhere."""
    data = config.data
    for name in ("path", "urls"):
        place = getattr(data, name)
        if place is not None and not is_url(place):
            data = data.model_copy(update={name: str(_absolute(place, base))})
    if data.hub is not None and (base / data.hub).is_dir():
        data = data.model_copy(update={"hub": str(_absolute(data.hub, base))})
    backbones = [
        backbone.model_copy(
            update={"name": _local(backbone.name, base), "tokenizer": backbone.tokenizer and _local(backbone.tokenizer, base)}
        )
        for backbone in config.backbones
    ]
    store = absolute(config.store, base) if "store" in config.model_fields_set else config.store
    return config.model_copy(update={"data": data, "backbones": backbones, "store": store})


def _absolute(path: str, base: Path) -> Path:
    return (base / Path(path).expanduser()).resolve()


def _local(backbone: str, base: Path) -> str:
    """Resolve a backbone's folder, if that is what the name leads to from the config's file."""
    scheme, colon, name = backbone.rpartition(":")
    place = base / Path(name).expanduser()
    is_local = bool(colon or "/" in name) and (place.is_dir() or (place.suffix == ".onnx" and place.is_file()))
    return f"{scheme}{colon}{_absolute(name, base)}" if is_local else backbone
