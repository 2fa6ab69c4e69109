"""A limit on a store's size: what would pass it is refused, or makes room by parting with recipes not used for longest."""

import re
import shutil
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cache.errors import StoreError, StoreWarning
from cache.lease import living, turn
from cache.place import Place
from cache.recipe import RECIPE_ID
from cache.shard import is_shard_name

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

    def check(self, store: Place) -> None:
        """Refuse, with a `StoreError`, what cannot be right for a store."""
        if self.evict and not store.shared:
            raise StoreError(
                f"{store.name}: --evict cannot know what other machines use of a bucket; leave it out, and remove what is not "
                "wanted with `headstart cache gc --drop-recipe`"
            )

    def make_room(self, store: Place, needed: Collection[str], more: int) -> None:
        """See that a store can grow by so many bytes.

        Parameters
        ----------
        store
            The store's place.
        needed
            Ids of recipes that the caller needs and that stay in any case, as do those a job is at work on.
        more
            Bytes to come.

        Raises
        ------
        StoreError
            If it cannot, with what to do about it; then nothing was removed.
        """
        listed = store.listed(store.root / "recipes")
        folders = [path for path in listed if RECIPE_ID.fullmatch(path.name) and not path.is_symlink()]
        sizes = {folder: size_of(store, folder) for folder in folders}
        spare = [f for f in folders if self.evict and f.name not in needed and not living(f / "leases")]
        held = sum(sizes.values())
        if held - sum(sizes[folder] for folder in spare) + more <= self.most:
            for folder in sorted(spare, key=_last_used):
                if held + more > self.most and _remove_unless_busy(store, folder):
                    held -= sizes[folder]
                    told = f"{sizes[folder]:,} bytes of recipe {folder.name[:12]}, not used for longest, made room"
                    warnings.warn(StoreWarning(f"{store.name}: {told}"), stacklevel=2)
        if held + more > self.most:
            evict = "" if self.evict else ", or allow --evict to remove recipes not used for longest"
            raise StoreError(
                f"{store.name}: holds {held:,} bytes and {more:,} more would pass the limit of {self.most:,}; "
                f"raise --max-size, or remove what is not wanted (`headstart cache gc`){evict}"
            )


def parse_size(text: str) -> int:
    """Turn `500MB`, `2.5 GiB` or a number of bytes into bytes; raises `ValueError` if it is none of these."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is not a size; write 500MB, 2.5GB, 10GiB or a number of bytes")
    return int(float(match[1]) * _UNITS[match[2]])


def size_of(store: Place, recipe_folder: Path) -> int:
    """Return the bytes of a recipe's shards."""
    return sum(store.size(path) for path in store.listed(recipe_folder / "shards") if is_shard_name(path.name))


def _last_used(folder: Path) -> float:
    try:
        return (folder / "recipe.json").stat().st_mtime
    except OSError:
        return 0.0


def _remove_unless_busy(store: Place, folder: Path) -> bool:
    with turn(folder / "leases"):
        if living(folder / "leases"):
            return False
        store.remove(*(path for path in store.listed(folder / "shards") if is_shard_name(path.name)))
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
