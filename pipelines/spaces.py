"""What a config says of a head's parameter: one value, several, an even spread of them, or a range to draw from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SPREADS = ("log", "linear")
KINDS = (*SPREADS, "whole")


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`: `linear`, evenly; `log`, evenly in their logarithm; `whole` ones, with both ends."""

    kind: str
    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends(self.kind, self.low, self.high)
        if not self.low < self.high:
            raise ValueError(f"{self.low:g} to {self.high:g} is no {self.kind} range")

    def distribution(self) -> Any:
        """Return scipy's distribution."""
        from scipy.stats import loguniform, randint, uniform

        if self.kind == "whole":
            return randint(int(self.low), int(self.high) + 1)
        return loguniform(self.low, self.high) if self.kind == "log" else uniform(self.low, self.high - self.low)

    def ends(self) -> tuple[float | int, float | int]:
        """Return the least and the largest of them."""
        return (int(self.low), int(self.high)) if self.kind == "whole" else (self.low, self.high)


def read_space(value: Any) -> list[Any] | Range:
    """Return the values to try, or the range to draw from.

    A list is its values; `{log: [low, high, n]}` and `{linear: [low, high, n]}` are spread evenly; without a count these, and
    `{whole: [low, high]}`, are ranges. Anything else is one value.

    Raises
    ------
    ValueError
        If a range or a spread has no numbers, its ends are the wrong way round, or are not above 0 where it is `log`.
    """
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping) and len(value) == 1:
        kind, bounds = next(iter(value.items()))
        if kind in KINDS and isinstance(bounds, list) and len(bounds) == 2:
            return Range(kind, float(bounds[0]), float(bounds[1]))
        if kind in SPREADS and isinstance(bounds, list) and len(bounds) == 3:
            low, high, count = (float(bounds[0]), float(bounds[1]), int(bounds[2]))
            _check_ends(kind, low, high)
            spread = np.geomspace(low, high, count) if kind == "log" else np.linspace(low, high, count)
            return [float(f"{number:.6g}") for number in spread]
    return [value]


def _check_ends(kind: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"both ends of `{kind}` must be finite")
    if kind == "log" and min(low, high) <= 0:
        raise ValueError("both ends of `log` must be above 0")
