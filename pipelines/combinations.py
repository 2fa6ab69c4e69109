"""Combinations: which outputs of a backbone a head takes, one alone or several side by side.

each            every output alone
first           the first output alone
all             all outputs side by side
layer6.mean     this output
"*.mean"        all outputs that match, side by side
[a, b]          inside a list: these side by side
"""

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

Combination = tuple[str, ...]
"""Names of outputs; their features stand side by side in this order."""


def combine(asked: str | Sequence[str | Sequence[str]], available: Sequence[str]) -> list[Combination]:
    """Return the combinations that a head's `outputs` ask for, without repetition.

    Parameters
    ----------
    asked
        A word, a name or a pattern as above, or a list of these and of lists of names and patterns.
    available
        The backbone's outputs, in order.

    Raises
    ------
    ValueError
        If a name or pattern fits none of the outputs, with the nearest.
    """
    found: dict[Combination, None] = {}
    for entry in [asked] if isinstance(asked, str) else asked:
        if entry == "each":
            found |= dict.fromkeys((name,) for name in available)
        elif entry == "first":
            found[(available[0],)] = None
        elif entry == "all":
            found[tuple(name for name in available if not is_tokens(name)) or tuple(available)] = None
        else:
            names = [name for part in ([entry] if isinstance(entry, str) else entry) for name in _matching(part, available)]
            found[tuple(dict.fromkeys(names))] = None
    return list(found)


def shorten(outputs: Combination, most: int = 3) -> str:
    """Write a combination for people: `+` between the names, and of many the first and how many more there are."""
    return "+".join(outputs) if len(outputs) <= most else f"{outputs[0]} and {len(outputs) - 1} more"


def is_tokens(name: str) -> bool:
    """Tell whether an output holds a run of tokens a sample, and no vector."""
    return "tokens" in name.split(".")


def _matching(pattern: str, available: Sequence[str]) -> list[str]:
    names = [name for name in available if fnmatchcase(name, pattern)]
    if not names:
        near = difflib.get_close_matches(pattern, available, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"outputs are {', '.join(available)}"
        raise ValueError(f"no output is called `{pattern}`; {hint}")
    return names
