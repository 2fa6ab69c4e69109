"""Outputs: which layers and poolings of a backbone are kept, and the names they are stored under."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from extract.errors import NoSuchBackboneError

POOLINGS = ("cls", "mean", "max")
OWN = "pooled"
_NAME = re.compile(rf"layer(\d+)\.({'|'.join(POOLINGS)})")


@dataclass(frozen=True, order=True)
class Output:
    """One kept tensor: a layer's tokens pooled to a vector, or the backbone's own pooled feature.

    Attributes
    ----------
    layer
        0 is the embeddings' output, the number of layers the last one's; None for the backbone's own feature.
    pooling
        `cls` (first token), `mean` or `max` over tokens, or `pooled` (the backbone's own).
    """

    layer: int | None
    pooling: str

    @property
    def name(self) -> str:
        """`layer6.mean`, or `pooled`: says in full what is stored."""
        return self.pooling if self.layer is None else f"layer{self.layer}.{self.pooling}"


def parse_outputs(asked: Any, layers: int, has_own: bool, where: str = "outputs") -> tuple[Output, ...]:
    """Turn what a user asks for into outputs, without repetition and in the order asked.

    Parameters
    ----------
    asked
        None for the backbone's default (its own pooled feature if it has one, else the last layer's mean); a name
        (`pooled`, `mean`, `layer3.cls`); a mapping `{layer: last | all | 3 | [1, 2], pooling: mean | [cls, mean]}`; or a
        list of these.
    layers
        How many layers the backbone has.
    has_own
        Whether the backbone has a pooled feature of its own.

    Raises
    ------
    NoSuchBackboneError
        If there is no such layer or pooling.
    """
    if asked is None:
        asked = OWN if has_own else "mean"
    entries = [asked] if isinstance(asked, str | Mapping) else list(asked)
    outputs: dict[Output, None] = {}
    for entry in entries:
        for output in _expand(entry, layers, where):
            if output.layer is None and not has_own:
                raise NoSuchBackboneError(
                    f"{where}: this backbone has no pooled feature of its own; poolings are {', '.join(POOLINGS)}"
                )
            outputs[output] = None
    if not outputs:
        raise NoSuchBackboneError(f"{where}: no output is asked for")
    return tuple(outputs)


def _expand(entry: Any, layers: int, where: str) -> Iterable[Output]:
    if isinstance(entry, Output):
        entry = entry.name
    if isinstance(entry, str):
        match = _NAME.fullmatch(entry)
        entry = {"layer": int(match[1]), "pooling": match[2]} if match else {"pooling": entry}
    if not isinstance(entry, Mapping) or not entry.keys() <= {"layer", "pooling"}:
        raise NoSuchBackboneError(f"{where}: {entry!r} is not {{layer: ..., pooling: ...}}")
    for layer in _layers(entry.get("layer", "last"), layers, where):
        for pooling in _as_list(entry.get("pooling", "mean")):
            if pooling == OWN:
                yield Output(None, OWN)
            elif pooling in POOLINGS:
                yield Output(layer, pooling)
            else:
                raise NoSuchBackboneError(f"{where}: {pooling!r} is not a pooling; poolings are {', '.join((*POOLINGS, OWN))}")


def _layers(asked: Any, layers: int, where: str) -> list[int]:
    if asked == "all":
        return list(range(layers + 1))
    found = [layers if layer == "last" else layer for layer in _as_list(asked)]
    for layer in found:
        if not isinstance(layer, int) or isinstance(layer, bool) or not -layers - 1 <= layer <= layers:
            raise NoSuchBackboneError(
                f"{where}: there is no layer {layer!r}; layers are 0 (embeddings) to {layers} (last), or `all`"
            )
    return [layer if layer >= 0 else layers + 1 + layer for layer in found]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
