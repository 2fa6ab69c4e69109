"""A module's blocks: what it is a stack of, found in its graph or named by itself."""

import re
from collections.abc import Iterator, Sequence

from torch import nn

_NUMBERED = re.compile(r"(?P<series>.*?)(?P<number>\d+)")


def find_blocks(module: nn.Module) -> list[str]:
    """Return the names of a module's blocks, from the input upwards.

    They are what the module says that they are, by names in an attribute `block_names`; or else the list or sequence of modules
    that holds the most parameters (`encoder.layer.0`, ...), or children whose names go on by a number (`layer1`, ...). Empty
    where there is nothing of the kind.
    """
    declared = getattr(module, "block_names", None)
    if declared is not None:
        return [str(name) for name in declared]
    best: list[str] = []
    most = 0
    for name, part in module.named_modules():
        for series in _series(part):
            size = sum(parameter.numel() for child in series for parameter in part.get_submodule(child).parameters())
            if size > most:
                best, most = [f"{name}.{child}" if name else child for child in series], size
    return best


def _series(module: nn.Module) -> Iterator[Sequence[str]]:
    """Yield the names of children that follow on one another, two at least, each with parameters."""
    children = [name for name, child in module.named_children() if next(child.parameters(), None) is not None]
    if isinstance(module, nn.ModuleList | nn.Sequential):
        if len(children) > 1:
            yield children
        return
    series: dict[str, list[str]] = {}
    for name in children:
        match = _NUMBERED.fullmatch(name)
        if match is not None:
            series.setdefault(match["series"], []).append(name)
    yield from (names for names in series.values() if len(names) > 1)
