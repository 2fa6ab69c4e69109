"""What an extraction did besides the features: samples left out, and how much of the others was cut off. No torch here."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Truncation:
    """How much was cut off the texts that were extracted.

    Attributes
    ----------
    samples, of
        So many of so many texts were cut.
    length
        The number of tokens they were cut to.
    lost, tokens
        So many of so many tokens were not read.
    """

    samples: int = 0
    of: int = 0
    length: int = 0
    lost: int = 0
    tokens: int = 0

    def count(self, costs: np.ndarray, whole: np.ndarray) -> "Truncation":
        """Return this with more texts counted in, by the tokens they have `[n]` and would have had uncut `[n]`."""
        cut = whole > costs
        return Truncation(
            self.samples + int(cut.sum()),
            self.of + len(costs),
            max(self.length, int(costs[cut].max(initial=0))),
            self.lost + int((whole - costs).sum()),
            self.tokens + int(whole.sum()),
        )

    def __str__(self) -> str:
        """`312 of 5,485 texts were cut to 256 tokens; 14% of all tokens`."""
        share = self.lost / max(1, self.tokens)
        percent = f"{share:.0%}" if share >= 0.01 else "less than 1%"
        return f"{self.samples:,} of {self.of:,} texts were cut to {self.length:,} tokens; {percent} of all tokens"

    def __add__(self, other: "Truncation") -> "Truncation":
        return Truncation(
            self.samples + other.samples,
            self.of + other.of,
            max(self.length, other.length),
            self.lost + other.lost,
            self.tokens + other.tokens,
        )


@dataclass
class Outcome:
    """What a loop did.

    Attributes
    ----------
    samples
        How many ran through the backbone or were refused.
    refused
        Key -> reason, for samples that have no features.
    budget, slice
        The largest cost of a batch, and the samples of a slice, at the end.
    truncation
        How much was cut off.
    """

    samples: int = 0
    refused: dict[bytes, str] = field(default_factory=dict)
    budget: int = 0
    slice: int = 0
    truncation: Truncation = field(default_factory=Truncation)

    @classmethod
    def together(cls, outcomes: Sequence["Outcome"]) -> "Outcome":
        """Put together what several loops or ranks did."""
        together = cls()
        for outcome in outcomes:
            together.samples += outcome.samples
            together.refused |= outcome.refused
            together.budget = max(together.budget, outcome.budget)
            together.slice = max(together.slice, outcome.slice)
            together.truncation += outcome.truncation
        return together

    def to_json(self) -> dict[str, Any]:
        """Return this in JSON's types."""
        refused = {key.hex(): reason for key, reason in self.refused.items()}
        truncation = dataclasses.asdict(self.truncation)
        return {"samples": self.samples, "refused": refused, "budget": self.budget, "truncation": truncation}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Outcome":
        """Read back what `to_json` returned; raises `ValueError` if it is nothing of that kind."""
        try:
            refused = {bytes.fromhex(key): str(reason) for key, reason in content["refused"].items()}
            truncation = Truncation(**content["truncation"])
            return cls(int(content["samples"]), refused, int(content["budget"]), truncation=truncation)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an outcome: {error}") from error
