"""What tells recipes of one backbone apart, for people."""

from collections.abc import Sequence
from typing import Any

from cache import Recipe


def differences(recipe: Recipe, known: Sequence[Recipe]) -> dict[str, Any]:
    """Return in what a recipe differs from the others of the same backbone, with its own values."""
    own = _flat(recipe)
    others = [_flat(other) for other in known if other.backbone == recipe.backbone and other.id != recipe.id]
    names = dict.fromkeys(name for part in (own, *others) for name in part)
    return {name: own.get(name) for name in names if any(own.get(name) != other.get(name) for other in others)}


def tell_apart(recipes: Sequence[Recipe]) -> dict[str, str]:
    """Return by id, in a line, what a recipe has that others of its backbone have not; empty where there are no others."""
    return {
        recipe.id: ", ".join(
            f"{name} {brief(value)}" for name, value in differences(recipe, recipes).items() if value is not None
        )
        for recipe in recipes
    }


def brief(value: Any) -> str:
    """Write a recipe's value for people: a digest by its first characters, nothing as such."""
    if isinstance(value, str) and value.startswith(("sha256:", "commit:")):
        kind, _, digest = value.partition(":")
        return f"{kind}:{digest[:8]}"
    return "-" if value is None else repr(value) if isinstance(value, str) and " " in value else str(value)


def _flat(recipe: Recipe) -> dict[str, Any]:
    content = recipe.to_dict()
    preprocessing = content.pop("preprocessing", {})
    return content | {"tokenizer or transform" if name == "settings" else name: v for name, v in preprocessing.items()}
