"""The feature store: a folder that maps (recipe, output, sample key) to a feature vector.

Recipes and their shards are here; tables of data sets are in `table`, the files' layout in `shard`.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.atomic import write_atomically
from cache.errors import StoreError
from cache.index import Index
from cache.recipe import Recipe
from cache.shard import DamagedShardError, Shard, open_shard, write_shard

STORE_FORMAT = 1


@dataclass(frozen=True)
class Holding:
    """What a store holds of one recipe.

    Attributes
    ----------
    rows
        Distinct samples with at least one output.
    outputs
        Output name -> (distinct samples, width).
    bytes
        Size of the shard files.
    """

    recipe: Recipe
    rows: int
    shards: int
    bytes: int
    outputs: Mapping[str, tuple[int, int]]


class FeatureStore:
    """A folder of features, shared by any number of readers and writers.

    Parameters
    ----------
    path
        The folder; it is made at the first commit.

    Raises
    ------
    StoreError
        If the folder holds something else, or a store of a newer format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._shards: dict[str, dict[str, Shard]] = {}
        self._indexes: dict[tuple[str, str], Index] = {}
        self._check_version()

    def recipes(self) -> list[Recipe]:
        """Return the recipes the store knows, in the order of their ids."""
        folders = sorted((self.path / "recipes").iterdir()) if (self.path / "recipes").is_dir() else []
        return [self._read_recipe(folder) for folder in folders if (folder / "recipe.json").is_file()]

    def find_recipe(self, start: str) -> Recipe:
        """Return the one recipe whose id begins with `start`; raises `StoreError` if there is not exactly one."""
        found = [recipe for recipe in self.recipes() if recipe.id.startswith(start)]
        if len(found) != 1:
            raise StoreError(f"{self.path}: {len(found)} recipes begin with {start!r}; `headstart cache ls` lists the ids")
        return found[0]

    def missing(self, recipe: Recipe, keys: np.ndarray, outputs: Iterable[str]) -> np.ndarray:
        """Return a mask `[n]`, true where a key of `[n, 16]` lacks at least one of the outputs."""
        mask = np.zeros(len(keys), bool)
        for output in outputs:
            mask |= self._index(recipe, output).missing(keys)
        return mask

    def read(self, recipe: Recipe, keys: np.ndarray, output: str) -> np.ndarray:
        """Return the features `[n, d]` of `keys [n, 16]`, in their order and the recipe's dtype.

        Raises
        ------
        StoreError
            If a key has no row; `missing` tells which.
        """
        index = self._index(recipe, output)
        lacking = int(index.missing(keys).sum())
        if lacking or not len(index):
            raise StoreError(f"{self.path}: {lacking} of {len(keys)} samples have no {output} under recipe {recipe.id}")
        return index.read(keys)

    def commit(
        self,
        recipe: Recipe,
        keys: np.ndarray,
        outputs: Mapping[str, np.ndarray],
        provenance: Mapping[str, Any] | None = None,
    ) -> Path:
        """Add rows as one shard: keys `[n, 16]` uint8, per output `[n, d]` in the recipe's dtype, all finite."""
        self._prepare(recipe)
        return write_shard(self._shard_folder(recipe), recipe, keys, outputs, provenance or {})

    def holding(self, recipe: Recipe) -> Holding:
        """Count what the store holds of a recipe."""
        shards = self._open(recipe)
        names = sorted({name for shard in shards for name in shard.outputs})
        indexes = {name: self._index(recipe, name) for name in names}
        outputs = {name: (len(index), index.shards[0].outputs[name].shape[1]) for name, index in indexes.items()}
        keys = [shard.keys for shard in shards]
        rows = len(np.unique(np.concatenate(keys), axis=0)) if keys else 0
        size = sum(shard.path.stat().st_size for shard in shards)
        return Holding(recipe, rows, len(shards), size, outputs)

    def _check_version(self) -> None:
        version = self.path / "VERSION"
        if version.is_file():
            text = version.read_text(errors="replace").strip()
            if not text.isdecimal() or int(text) > STORE_FORMAT:
                raise StoreError(
                    f"{self.path}: store format {text[:20]!r} is not known here (this is {STORE_FORMAT}); update headstart"
                )
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise StoreError(f"{self.path}: exists and is not a feature store; name another folder")

    def _prepare(self, recipe: Recipe) -> None:
        """Make the recipe's place, so that a committed shard is never without its recipe."""
        if not (self.path / "VERSION").is_file():
            write_atomically(self.path / "VERSION", f"{STORE_FORMAT}\n".encode())
        description = self._folder(recipe) / "recipe.json"
        if not description.is_file():
            write_atomically(description, recipe.to_json().encode())

    def _read_recipe(self, folder: Path) -> Recipe:
        try:
            recipe = Recipe.from_json((folder / "recipe.json").read_text())
        except (StoreError, OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{folder / 'recipe.json'}: {error}") from error
        if recipe.id != folder.name:
            raise StoreError(f"{folder}: holds the recipe {recipe.id}")
        return recipe

    def _folder(self, recipe: Recipe) -> Path:
        return self.path / "recipes" / recipe.id

    def _shard_folder(self, recipe: Recipe) -> Path:
        return self._folder(recipe) / "shards"

    def _open(self, recipe: Recipe) -> Sequence[Shard]:
        """Bring the open shards of a recipe up to date with the folder; damaged ones are set aside."""
        folder = self._shard_folder(recipe)
        names = sorted(path.name for path in folder.glob("*.h5")) if folder.is_dir() else []
        known = self._shards.get(recipe.id, {})
        if names != list(known):
            opened: dict[str, Shard] = {}
            for name in names:
                try:
                    opened[name] = known.get(name) or open_shard(folder / name, recipe)
                except FileNotFoundError:  # removed since it was listed
                    continue
                except DamagedShardError as damage:
                    self._quarantine(folder / name, damage)
            self._shards[recipe.id] = known = opened
            self._indexes = {place: index for place, index in self._indexes.items() if place[0] != recipe.id}
        return list(known.values())

    def _quarantine(self, path: Path, damage: DamagedShardError) -> None:
        place = path.parent.parent / "quarantine"
        try:
            write_atomically(place / f"{path.name}.reason", str(damage).encode())
            path.replace(place / path.name)
            fate = f"moved to {place}"
        except (StoreError, OSError):
            fate = "left where it is, which is not writable"
        warnings.warn(f"damaged shard: {damage}; {fate}; its rows count as missing", stacklevel=2)

    def _index(self, recipe: Recipe, output: str) -> Index:
        shards = self._open(recipe)
        place = (recipe.id, output)
        if place not in self._indexes:
            widths = {shard.outputs[output].shape[1] for shard in shards if output in shard.outputs}
            if len(widths) > 1:
                raise StoreError(f"{self._folder(recipe)}: {output} has several widths: {sorted(widths)}")
            self._indexes[place] = Index(shards, output)
        return self._indexes[place]
