"""Which parts of a module learn: parts by name or block, frozen parts kept in evaluation mode, learning rates by depth."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from extract.backbones.blocks import find_blocks
from pipelines.errors import UsageError

LAYER_DECAY = 0.9
"""What a block's learning rate is to that of the block above it (Howard and Ruder 2018; Sun et al. 2019)."""


def refuse_float16(precision: str, where: str = "") -> None:
    """See that a backbone computes in a precision that it can learn in; raises `UsageError`, which begins with `where`."""
    if precision == "float16":
        raise UsageError(f"{where}a backbone cannot learn in float16, which small gradients fall out of; name bfloat16")


def find_parts(module: nn.Module, name: str | int) -> list[nn.Parameter]:
    """Return the parameters of the parts of a module that a name means.

    Parameters
    ----------
    module
        A backbone.
    name
        A part's name as in `named_modules` or `named_parameters`, or the end of it (`layer.11`, `encoder.layer.11.output`),
        which may fit several; or a block's number, from 0 at the input, or from -1 at the top.

    Raises
    ------
    UsageError
        If there is no such part, with the nearest names.
    """
    blocks = find_blocks(module)
    if isinstance(name, int) or re.fullmatch(r"-?\d+", name):
        number = int(name)
        if not -len(blocks) <= number < len(blocks):
            raise UsageError(f"there is no block {number}; {_blocks_are(blocks)}")
        name = blocks[number]
    parts = dict(module.named_modules())
    found = [part for full, part in parts.items() if full and f".{full}".endswith(f".{name}")]
    parameters = [parameter for part in found for parameter in part.parameters()]
    parameters += [parameter for full, parameter in module.named_parameters() if f".{full}".endswith(f".{name}")]
    if not parameters:
        ends = {end for full in parts for end in _ends(full)}
        near = difflib.get_close_matches(name, ends, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(f'`{end}`' for end in near)}? " if near else ""
        raise UsageError(f"the backbone has no part `{name}`; {hint}{_blocks_are(blocks)}")
    return list(dict.fromkeys(parameters))


def set_training(module: nn.Module, mode: bool, inherited: bool = False) -> None:
    """Put the parts of a module that learn in training mode if `mode`, and all others in evaluation mode.

    A part learns if all parameters in it take gradients; one without parameters is as the part around it.
    """
    parameters = list(module.parameters())
    learns = all(parameter.requires_grad for parameter in parameters) if parameters else inherited
    module.training = mode and learns
    for child in module.children():
        set_training(child, mode, learns)


def rates_by_depth(
    module: nn.Module, lr: float, decay: float = LAYER_DECAY, given: Mapping[str | int, float] | None = None
) -> list[dict[str, Any]]:
    """Return what learns in a module as an optimizer's groups: the top block at `lr`, every block below at `decay` of the next.

    What stands below the blocks learns as the lowest would below them, what stands above them as the top one. Parts whose rate
    is `given`, by names as `find_parts` takes them, learn at that; of two that fit, the later one counts.

    Raises
    ------
    UsageError
        If a rate is given for what is not there, or does not learn.
    """
    own: dict[nn.Parameter, float] = {}
    for name, rate in (given or {}).items():
        found = [parameter for parameter in find_parts(module, name) if parameter.requires_grad]
        if not found:
            raise UsageError(f"a learning rate is given for `{name}`, which does not learn; unfreeze it first")
        own |= dict.fromkeys(found, rate)
    blocks = [module.get_submodule(name) for name in find_blocks(module)]
    height = {id(p): number for number, block in enumerate(blocks) for p in block.parameters()}
    groups: dict[int, list[nn.Parameter]] = {}
    level = -1
    for parameter in module.parameters():
        level = max(level, height.get(id(parameter), -1))
        if parameter.requires_grad and parameter not in own:
            groups.setdefault(height.get(id(parameter), -1 if level < 0 else len(blocks) - 1), []).append(parameter)
    top = max(len(blocks) - 1, 0)
    by_depth = [{"params": found, "lr": lr * decay ** (top - at)} for at, found in sorted(groups.items(), reverse=True)]
    rates = dict.fromkeys(own.values())
    return [*by_depth, *({"params": [p for p, its in own.items() if its == rate], "lr": rate} for rate in rates)]


def _ends(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[start:]) for start in range(len(parts)))


def _blocks_are(blocks: Sequence[str]) -> str:
    if not blocks:
        return "it has no blocks; `named_modules()` lists its parts"
    return f"blocks are {blocks[0]} to {blocks[-1]}, or 0 to {len(blocks) - 1}"
