"""A limit on a store's size: what would pass it is refused, or makes room by parting with recipes not used for longest."""

import contextlib
import re
import shutil
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cache.atomic import remove
from cache.errors import StoreError, StoreWarning
from cache.lease import living, turn
from cache.recipe import RECIPE_ID
from cache.shard import list_shards

_UNITS = {"": 1} | {unit + i: (1024 if i else 1000) ** power for power, unit in enumerate("kmgt", 1) for i in ("", "i")}


@dataclass(frozen=True)
class Budget:
    """How large a store may become.

    Attributes
    ----------
    most
        Bytes that all shards together may have.
    evict
        Whether to remove the features of the recipes that were used longest ago, rather than refuse.
    """

    most: int
    evict: bool = False

    def make_room(self, store: Path, needed: Collection[str], more: int) -> None:
        """See that a store can grow by so many bytes.

        Parameters
        ----------
        store
            The store's folder.
        needed
            Ids of recipes that the caller needs and that stay in any case, as do those a job is at work on.
        more
            Bytes to come.

        Raises
        ------
        StoreError
            If it cannot, with what to do about it; then nothing was removed.
        """
        folders = [path for path in (store / "recipes").glob("*") if RECIPE_ID.fullmatch(path.name) and not path.is_symlink()]
        sizes = {folder: size_of(folder) for folder in folders}
        spare = [f for f in folders if self.evict and f.name not in needed and not living(f / "leases")]
        held = sum(sizes.values())
        if held - sum(sizes[folder] for folder in spare) + more <= self.most:
            for folder in sorted(spare, key=_last_used):
                if held + more > self.most and _remove_unless_busy(folder):
                    held -= sizes[folder]
                    told = f"{sizes[folder]:,} bytes of recipe {folder.name[:12]}, not used for longest, made room in {store}"
                    warnings.warn(StoreWarning(told), stacklevel=2)
        if held + more > self.most:
            evict = "" if self.evict else ", or allow --evict to remove recipes not used for longest"
            raise StoreError(
                f"{store}: holds {held:,} bytes and {more:,} more would pass the limit of {self.most:,}; raise --max-size, "
                f"or remove what is not wanted (`headstart cache gc`){evict}"
            )


def parse_size(text: str) -> int:
    """Turn `500MB`, `2.5 GiB` or a number of bytes into bytes; raises `ValueError` if it is none of these."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is not a size; write 500MB, 2.5GB, 10GiB or a number of bytes")
    return int(float(match[1]) * _UNITS[match[2]])


def size_of(recipe_folder: Path) -> int:
    """Return the bytes of a recipe's shards."""
    sizes = []
    for path in list_shards(recipe_folder / "shards"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.lstat().st_size)
    return sum(sizes)


def _last_used(folder: Path) -> float:
    try:
        return (folder / "recipe.json").stat().st_mtime
    except OSError:
        return 0.0


def _remove_unless_busy(folder: Path) -> bool:
    with turn(folder / "leases"):
        if living(folder / "leases"):
            return False
        for path in list_shards(folder / "shards"):
            remove(path)
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
