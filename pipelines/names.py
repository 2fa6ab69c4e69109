"""Names beside each other: the nearest valid one to one that is not known, and those that differ by nothing that is meant."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean ...?` where a known name is near, or else the list of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"it may be {', '.join(known)}"


def spelled_alike(names: Iterable[str]) -> str | None:
    """Say which of some names differ by case or spaces alone, the most variants first; None where none do."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(" ".join(name.split()).casefold(), []).append(name)
    found = sorted((group for group in alike.values() if len(group) > 1), key=len, reverse=True)
    if not found:
        return None
    more = "" if len(found) == 1 else f", and so do {len(found) - 1} more"
    told = ", ".join(f"`{name}`" for name in found[0])
    return f"{told} differ by case or spaces alone{more}: they are taken for different labels"
