"""Recipes: all that determines a feature's value, and the id made from it.

Two recipes with one differing field are two recipes, so a stale feature cannot be found. What does not change a
value (device, batch size, library versions) is recorded in the shards and is no part of the id. Which outputs are
kept is no part of it either: an output's name says its layer and pooling in full, and the store knows what it holds by
(recipe, output, sample), so asking for one more output computes that one alone.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from cache.errors import StoreError

DTYPES = ("float32", "float16")
RECIPE_ID = re.compile(r"[0-9a-f]{32}")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that determines the value of a feature.

    Attributes
    ----------
    backbone
        Loader and name, such as `st:all-MiniLM-L6-v2`.
    revision
        The hub's commit, where the weights came from a hub.
    weights
        Digest of the weights that are loaded, or the hub's commit that fixes them.
    preprocessing
        What is done to a sample before the backbone sees it: digest of the tokenizer's and model's settings, prompt,
        maximal length. JSON values only.
    precision
        Arithmetic of the forward pass: `float32`, `bfloat16` or `float16` (autocast).
    dtype
        Type of the stored features, `float32` or `float16`, where an output's name does not end in another.
    extractor
        Version of the extraction's meaning; raised when the same inputs would give other values.
    """

    backbone: str
    revision: str | None
    weights: str
    preprocessing: Mapping[str, Any]
    precision: str = "float32"
    dtype: str = "float32"
    extractor: int = 1

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise StoreError(f"dtype {self.dtype!r} is not one of {', '.join(DTYPES)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)} | {
            "preprocessing": dict(self.preprocessing)
        }

    def to_json(self) -> str:
        """Return the canonical JSON: sorted keys, no spaces, no NaN. Equal recipes give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Read a recipe back; raises `StoreError` if the text is no recipe."""
        try:
            recipe = cls(**json.loads(text))
            recipe.to_json().encode()
        except (TypeError, ValueError, RecursionError, AttributeError) as error:
            raise StoreError(f"not a recipe: {error}") from error
        return recipe

    def dtype_of(self, output: str) -> str:
        """Return the type an output is stored in: the recipe's, or the one that the output's name ends in."""
        ending = output.rpartition(".")[2]
        return ending if ending in DTYPES else self.dtype

    @property
    def id(self) -> str:
        """32 hexadecimal digits: 128 bits of BLAKE2b over the canonical JSON."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16, person=b"headstart-recipe").hexdigest()
