"""Outputs: which layers and poolings of a backbone are kept, and the names they are stored under."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from extract.errors import NoSuchBackboneError

POOLINGS = ("cls", "mean", "max", "last", "mean+max", "gem", "tokens")
DTYPES = ("float32", "float16")
OWN = "pooled"
_NAME = re.compile(rf"(?:layer(?P<layer>\d+)\.)?(?P<pooling>[a-z][a-z_]*(?:\+[a-z]+)?)(?:\.(?P<dtype>{'|'.join(DTYPES)}))?")


@dataclass(frozen=True)
class Output:
    """One kept tensor: a layer's tokens, pooled to a vector or as they are, or a feature of the backbone's own.

    Attributes
    ----------
    layer
        0 is the embeddings' output, the number of layers the last one's; None for a feature of the backbone's own.
    pooling
        One of `POOLINGS`, or the name of the backbone's own feature (`pooled`).
    dtype
        Stored type where it is not the recipe's.
    """

    layer: int | None
    pooling: str
    dtype: str | None = None

    @property
    def name(self) -> str:
        """`layer6.mean`, `pooled`, or `layer6.tokens.float16`: says in full what is stored."""
        layer = () if self.layer is None else (f"layer{self.layer}",)
        return ".".join((*layer, self.pooling, *((self.dtype,) if self.dtype else ())))


@dataclass(frozen=True)
class Offer:
    """What a backbone can give.

    Attributes
    ----------
    layers
        How many layers there are after the embeddings.
    default
        The pooling, or own feature, where nothing is asked for.
    own
        Names of the backbone's own features.
    poolings
        Which poolings its layers have.
    first
        The lowest layer, where that is not 0.
    takes
        The kind of samples this is about: `text`, `image` or `image and text`.
    family
        Which of its loader's adapters it needs, where there are several.
    others
        What it can give for other kinds of samples.
    """

    layers: int
    default: str = "mean"
    own: Sequence[str] = ()
    poolings: Sequence[str] = POOLINGS
    first: int = 0
    takes: str = "text"
    family: str = ""
    others: Sequence["Offer"] = ()

    def to(self, kind: str) -> "Offer | None":
        """Return what can be given for a kind of samples; None if they are not taken."""
        return next((offer for offer in (self, *self.others) if offer.takes == kind), None)


def parse_outputs(asked: Any, offer: Offer, dtype: str = "float32", where: str = "outputs") -> tuple[Output, ...]:
    """Turn what a user asks for into outputs, without repetition and in the order asked.

    Parameters
    ----------
    asked
        None for the backbone's default; a name (`pooled`, `mean`, `layer3.cls`); a mapping
        `{layer: last | all | 3 | [1, 2], pooling: mean | [cls, mean], dtype: float16}`; or a list of these.
    offer
        What the backbone can give.
    dtype
        The type in which features are stored where an output does not say its own.

    Raises
    ------
    NoSuchBackboneError
        If there is no such layer, pooling or type.
    """
    if asked is None:
        asked = offer.default
    entries = [asked] if isinstance(asked, str | Mapping | Output) else list(asked)
    outputs: dict[Output, None] = {}
    for entry in entries:
        for output in _expand(entry, offer, where):
            outputs[Output(output.layer, output.pooling, None if output.dtype == dtype else output.dtype)] = None
    if not outputs:
        raise NoSuchBackboneError(f"{where}: no output is asked for")
    return tuple(outputs)


def _expand(entry: Any, offer: Offer, where: str) -> Iterable[Output]:
    entry = _as_mapping(entry)
    if not isinstance(entry, Mapping) or not entry.keys() <= {"layer", "pooling", "dtype"}:
        raise NoSuchBackboneError(f"{where}: {entry!r} is not {{layer: ..., pooling: ...}}")
    dtype = entry.get("dtype")
    pooling_of_layers = "mean" if offer.default in offer.own else offer.default
    if dtype is not None and dtype not in DTYPES:
        raise NoSuchBackboneError(f"{where}: {dtype!r} is not a dtype; dtypes are {', '.join(DTYPES)}")
    for layer in _layers(entry.get("layer", "last"), offer, where):
        for pooling in _as_list(entry.get("pooling") or pooling_of_layers):
            if pooling in offer.own:
                yield Output(None, pooling, dtype)
            elif pooling in offer.poolings:
                yield Output(layer, pooling, dtype)
            elif pooling == OWN:
                raise NoSuchBackboneError(
                    f"{where}: this backbone has no pooled feature of its own; poolings are {', '.join(offer.poolings)}"
                )
            else:
                known = ", ".join((*offer.poolings, *offer.own))
                raise NoSuchBackboneError(f"{where}: {pooling!r} is not a pooling; poolings are {known}")


def _as_mapping(entry: Any) -> Any:
    if isinstance(entry, Output):
        entry = entry.name
    if not isinstance(entry, str):
        return entry
    match = _NAME.fullmatch(entry)
    if match is None:
        return {"pooling": entry}
    found = {name: value for name, value in match.groupdict().items() if value is not None}
    return found | {"layer": int(found["layer"])} if "layer" in found else found


def _layers(asked: Any, offer: Offer, where: str) -> list[int]:
    first, last = offer.first, offer.layers
    if asked == "all":
        return list(range(first, last + 1))
    found = [last if layer == "last" else layer for layer in _as_list(asked)]
    counted = [layer if not _is_number(layer) or layer >= 0 else last + 1 + layer for layer in found]
    for name, layer in zip(found, counted, strict=True):
        if not _is_number(layer) or not first <= layer <= last:
            lowest = "0 (embeddings)" if first == 0 else str(first)
            raise NoSuchBackboneError(f"{where}: there is no layer {name!r}; layers are {lowest} to {last} (last), or `all`")
    return counted


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
