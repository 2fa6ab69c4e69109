"""Splitting a module below what learns: its frozen blocks are left out, and what they gave for a batch is handed in.

Everything else runs as the module's own library wrote it, so masks, positions and whatever blocks are told besides their
states are made as ever. Nothing here knows samples or stores; that is in `boundary`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from extract.backbones.blocks import find_blocks
from extract.errors import CannotSplitError

Run = Callable[[], Any]


@dataclass(frozen=True, eq=False)
class Split:
    """Where a module is split.

    Attributes
    ----------
    root
        The module.
    blocks
        Names of the blocks that are left out, from the input upwards; what the last one gives is the boundary.
    stem
        Names of the parts before the blocks that give a tensor by sample.
    state
        Names of the parameters and buffers that the boundary may depend on.
    shape, dtype
        Of a sample's states at the boundary, as they were in the trial run.
    returned
        Part -> what it returned in the trial run, with `_Shape` in the place of tensors.
    """

    root: nn.Module
    blocks: tuple[str, ...]
    stem: tuple[str, ...]
    state: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: torch.dtype
    returned: Mapping[str, Any]

    @property
    def at(self) -> str:
        """The name of the highest block that is left out."""
        return self.blocks[-1]

    def reach(self, run: Run) -> torch.Tensor:
        """Run the module as far as the boundary and return the states `[b, ...]` there."""

        def stop(module: nn.Module, args: Any, output: Any) -> None:
            raise _Reached(_states_of(output))

        handle = self.root.get_submodule(self.at).register_forward_hook(stop)
        try:
            run()
        except _Reached as reached:
            return reached.states
        finally:
            handle.remove()
        raise CannotSplitError(f"`{self.at}` does not run for every batch")

    @contextmanager
    def handing_in(self, states: torch.Tensor, shared: int = 1, without_stem: bool = False) -> Iterator[None]:
        """Have the module run from the boundary on.

        Parameters
        ----------
        states
            `[b, ...]`, what the frozen blocks give.
        shared
            How many axes may be longer or shorter than in the trial run: 1, or 2 where samples have tokens, `[b, t, d]`.
        without_stem
            Whether to leave out the stem, too; the blocks' inputs are then no numbers.
        """
        left_out = [*self.blocks, *(self.stem if without_stem else ())]
        modules = {name: self.root.get_submodule(name) for name in left_out}
        own = {name: module.__dict__.get("forward") for name, module in modules.items()}
        for name, module in modules.items():
            given = states if name == self.at else None
            module.__dict__["forward"] = _stub(self.returned[name], states, shared, given)
        try:
            yield
        finally:
            for name, module in modules.items():
                del module.__dict__["forward"]
                if own[name] is not None:
                    module.__dict__["forward"] = own[name]


def find_split(root: nn.Module, run: Run, samples: int) -> Split:
    """Find the highest place at which nothing that learns has had a say, by one run of the module.

    Parameters
    ----------
    root
        A module in evaluation mode, of which some parameters take gradients.
    run
        Runs it over a batch.
    samples
        How many samples the batch has.

    Raises
    ------
    CannotSplitError
        If there is no such place, with the reason.
    """
    blocks = find_blocks(root)
    if len(blocks) < 2:
        raise CannotSplitError("it has no blocks that follow on one another")
    trial = _Trial(root, blocks)
    with torch.enable_grad():
        trial.run(run)
    if trial.order != blocks:
        raise CannotSplitError(f"its blocks {blocks[0]} to {blocks[-1]} do not run one after another, once each")
    frozen = []
    for name in blocks:
        states = _states_of(trial.outputs[name])
        if states.requires_grad:
            break
        if states.ndim < 2 or states.shape[0] != samples:
            raise CannotSplitError(f"the first axis of what `{name}` gives is not the samples'")
        frozen.append(name)
    if not frozen:
        raise CannotSplitError(f"something learns in or below its lowest block, {blocks[0]}")
    states = _states_of(trial.outputs[frozen[-1]])
    stem = tuple(name for name in trial.before(blocks[0]) if _is_by_sample(trial.outputs[name], samples))
    return Split(
        root=root,
        blocks=tuple(frozen),
        stem=stem,
        state=tuple(trial.state_below(blocks[len(frozen) :], frozen[-1])),
        shape=tuple(states.shape[1:]),
        dtype=states.dtype,
        returned={name: _template(trial.outputs[name], samples) for name in (*frozen, *stem)},
    )


class _Reached(Exception):  # noqa: N818  (no error)
    def __init__(self, states: torch.Tensor) -> None:
        self.states = states


@dataclass(frozen=True)
class _Shape:
    """A tensor's shape and type, and whether its first axis is the samples'."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    by_sample: bool

    def fill(self, states: torch.Tensor, shared: int) -> torch.Tensor:
        """Return a tensor of no numbers for as many samples, and tokens where these are shared too, as `states` has."""
        size = (*states.shape[:shared], *self.shape[shared:]) if self.by_sample else self.shape
        nothing = torch.nan if self.dtype.is_floating_point else 0
        return torch.full((), nothing, dtype=self.dtype, device=states.device).expand(size)


class _Trial:
    """What happens in one run of a module: which parts run when, and what they return."""

    def __init__(self, root: nn.Module, blocks: list[str]) -> None:
        self.root = root
        self.names = {id(module): name for name, module in root.named_modules()}
        self.blocks = set(blocks)
        self.order: list[str] = []
        self.outputs: dict[str, Any] = {}
        self.began: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self._clock = 0

    def run(self, run: Run) -> None:
        """Run the module, watched."""
        handles = []
        for module in self.root.modules():
            handles += [module.register_forward_pre_hook(self._begin), module.register_forward_hook(self._end)]
        try:
            run()
        finally:
            for handle in handles:
                handle.remove()

    def before(self, name: str) -> list[str]:
        """Return the outermost parts that had ended when one began."""
        return _outermost([part for part, ended in self.ended.items() if ended < self.began[name]])

    def state_below(self, above: list[str], at: str) -> list[str]:
        """Return the names of all state but that of some blocks, and of parts that began only after one had ended."""
        later = [name for name, began in self.began.items() if began > self.ended[at]]
        out = _outermost([*above, *later])
        return [name for name in self.root.state_dict() if not any(name.startswith(f"{part}.") for part in out)]

    def _begin(self, module: nn.Module, args: Any) -> None:
        self._clock += 1
        name = self.names[id(module)]
        self.began.setdefault(name, self._clock)
        if name in self.blocks:
            self.order.append(name)

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        self._clock += 1
        name = self.names[id(module)]
        self.ended.setdefault(name, self._clock)
        self.outputs.setdefault(name, output)


def _stub(returned: Any, states: torch.Tensor, shared: int, given: torch.Tensor | None) -> Callable[..., Any]:
    """Return a forward that ignores what it is told and returns what was returned, with `given` as the states."""

    def fill(value: Any) -> Any:
        if isinstance(value, _Shape):
            return value.fill(states, shared)
        return tuple(map(fill, value)) if isinstance(value, tuple) else value

    def forward(*args: Any, **kwargs: Any) -> Any:
        if given is None:
            return fill(returned)
        return given if isinstance(returned, _Shape) else (given, *map(fill, returned[1:]))

    return forward


def _template(output: Any, samples: int) -> Any:
    if isinstance(output, torch.Tensor):
        return _Shape(tuple(output.shape), output.dtype, _is_by_sample(output, samples))
    return tuple(_template(part, samples) for part in output) if isinstance(output, tuple) else output


def _is_by_sample(output: Any, samples: int) -> bool:
    return isinstance(output, torch.Tensor) and output.ndim > 0 and output.shape[0] == samples


def _states_of(output: Any) -> torch.Tensor:
    states = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(states, torch.Tensor):
        raise CannotSplitError(f"a block of it returns {type(output).__name__}, and no states")
    return states


def _outermost(names: list[str]) -> list[str]:
    found = set(names)

    def is_inside(name: str) -> bool:
        parts = name.split(".")
        return any(".".join(parts[:end]) in found for end in range(1, len(parts)))

    return [name for name in dict.fromkeys(names) if name and not is_inside(name)]
