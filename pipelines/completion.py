"""What the shell offers for arguments: runs and config files, found by looking one folder deep."""

from collections.abc import Callable, Iterator
from pathlib import Path

MOST = 200
"""Folders and files that are looked at, at most, so that a key press is answered at once."""


def complete_runs(incomplete: str) -> list[str]:
    """Return run folders whose path begins so: here, or in a folder here such as `runs`."""
    return _complete(incomplete, lambda place: (place / "metrics.json").is_file())


def complete_configs(incomplete: str) -> list[str]:
    """Return YAML files whose path begins so: here, or in a folder here such as `configs`."""
    return _complete(incomplete, lambda place: place.suffix in (".yaml", ".yml"))


def complete_runs_and_configs(incomplete: str) -> list[str]:
    """Return both."""
    return [*complete_configs(incomplete), *complete_runs(incomplete)]


def _complete(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    found = []
    for place in _entries(incomplete):
        if wanted(place):
            found.append(str(place))
        elif place.is_dir():
            found += [str(inner) for inner in _entries(f"{place}/") if wanted(inner)]
    return found


def _entries(incomplete: str) -> Iterator[Path]:
    """Yield what lies where a path leads to and begins like it; nothing that is hidden, unless asked for."""
    folder, slash, start = incomplete.rpartition("/")
    place = Path(f"{folder}{slash}")
    try:
        names = sorted(entry.name for entry in place.expanduser().iterdir())
    except OSError:
        return
    shown = [name for name in names if name.startswith(start) and (start or not name.startswith("."))]
    for name in shown[:MOST]:
        yield place / name
