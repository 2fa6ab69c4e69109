"""A limit on a store's size: what would pass it is refused, or makes room by parting with recipes not used for longest."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from cache.errors import StoreError
from cache.lease import living, turn

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

    def make_room(self, store: Path, recipe_id: str, more: int) -> None:
        """See that a recipe can grow by so many bytes.

        Raises
        ------
        StoreError
            If it cannot, with what to do about it.
        """
        sizes = {folder: size_of(folder) for folder in (store / "recipes").glob("*") if folder.is_dir()}
        held = sum(sizes.values())
        for folder in sorted(sizes, key=_last_used) if self.evict else ():
            if held + more <= self.most:
                break
            if folder.name != recipe_id and _remove_unless_busy(folder):
                held -= sizes[folder]
        if held + more > self.most:
            raise StoreError(
                f"{store}: holds {held:,} bytes and {more:,} more would pass the limit of {self.most:,}; raise --max-size, "
                "remove what is not wanted (`headstart cache gc`), or allow --evict to remove recipes not used for longest"
            )


def parse_size(text: str) -> int:
    """Turn `500MB`, `2.5 GiB` or a number of bytes into bytes; raises `ValueError` if it is none of these."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is not a size; write 500MB, 2.5GB, 10GiB or a number of bytes")
    return int(float(match[1]) * _UNITS[match[2]])


def size_of(recipe_folder: Path) -> int:
    """Return the bytes of a recipe's shards."""
    return sum(path.lstat().st_size for path in (recipe_folder / "shards").glob("*.h5"))


def _last_used(folder: Path) -> float:
    try:
        return (folder / "recipe.json").stat().st_mtime
    except OSError:
        return 0.0


def _remove_unless_busy(folder: Path) -> bool:
    with turn(folder / "leases"):
        if living(folder / "leases"):
            return False
        for path in sorted((folder / "shards").glob("*.h5")):
            path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
