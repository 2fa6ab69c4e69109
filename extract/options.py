"""Options of the extraction loop: how features are computed, never what they are. No part of a recipe."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LoopOptions:
    """How to run a backbone. None stands for what fits the machine.

    Attributes
    ----------
    budget
        Most that a batch may cost: tokens, padding included, or images. Halved whenever the device is out of memory.
    workers
        Processes that decode images and the like; 0 for none.
    """

    budget: int | None = None
    workers: int | None = None
