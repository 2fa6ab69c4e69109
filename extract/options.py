"""Options of the extraction loop: how features are computed, never what they are. No part of a recipe."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LoopOptions:
    """How to run a backbone. None stands for what fits the machine.

    Attributes
    ----------
    budget
        Most that a batch may cost: tokens, padding included, or images; `auto` for what a short measurement finds best (see
        `tuning`). Halved whenever the device is out of memory.
    workers
        Processes that decode images and the like; 0 for none.
    compile
        Run the model through `torch.compile`, which takes a minute at first and may round otherwise.
    channels_last
        Lay images out with their channels last, which convolutions on recent GPUs prefer.
    """

    budget: int | Literal["auto"] | None = None
    workers: int | None = None
    compile: bool = False
    channels_last: bool = False
