"""The feature store: a folder that maps (recipe, output, sample key) to a feature vector.

Recipes and their shards are here; tables of data sets are in `table`, the files' layout in `shard`, upkeep in `maintenance`.
"""

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cache.atomic import TEMPORARY_PREFIX, make_folder, remove_leftovers, write_atomically
from cache.budget import Budget
from cache.errors import StoreError, StoreWarning
from cache.files import ChangedFileError, read_small, told
from cache.gather import gather_runs
from cache.index import Index, Runs
from cache.keys import KEY_BYTES, sortable
from cache.lease import Lease
from cache.ragged import Ragged
from cache.recipe import RECIPE_ID, Recipe
from cache.reports import Reports
from cache.rows import StoredRows
from cache.shard import DamagedShardError, Shard, list_shards, open_shards, verify_shard, write_shard

STORE_FORMAT = 2
FILE_BYTES = 2**14
"""About what a shard's file takes besides its rows."""

MOST_RECIPE_BYTES = 2**20
_T = TypeVar("_T")


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


@dataclass
class _Held:
    """What is known of a recipe's shards: those that hold, those that do not and stay where they are, where the keys are."""

    shards: dict[str, Shard] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    index: Index | None = None


class FeatureStore:
    """A folder of features, shared by any number of readers and writers.

    Parameters
    ----------
    path
        The folder; it is made at the first commit.
    budget
        How large it may become; None for as large as the disk.

    Raises
    ------
    StoreError
        If the folder holds something else, or a store of a newer format.
    """

    def __init__(self, path: str | Path, budget: Budget | None = None) -> None:
        self.path = Path(path).absolute()
        self.budget = budget
        self._held: dict[str, _Held] = {}
        self._prepared: set[str] = set()
        self._used: set[str] = set()
        self.format = self._read_version()

    def recipes(self) -> list[Recipe]:
        """Return the recipes the store knows, in the order of their ids; one that does not hold is left out with a warning."""
        known = []
        for folder in self.recipe_folders():
            try:
                known.append(self.read_recipe(folder))
            except StoreError as error:
                warnings.warn(StoreWarning(f"{error}; this recipe is left out"), stacklevel=2)
        return known

    def recipe_folders(self) -> list[Path]:
        """Return the folders of recipes that have been begun, in the order of their ids."""
        place = self.path / "recipes"
        try:
            return self._list_recipes(place)
        except OSError as error:
            raise told(place, error) from error

    def _list_recipes(self, place: Path) -> list[Path]:
        folders = [path for path in sorted(place.iterdir()) if RECIPE_ID.fullmatch(path.name)] if place.is_dir() else []
        return [
            path for path in folders if path.is_symlink() or (path / "recipe.json").exists() or any(path.glob("shards/*.h5"))
        ]

    def find_recipe(self, start: str) -> Recipe:
        """Return the one recipe whose id begins with `start`; raises `StoreError` if there is not exactly one."""
        found = [recipe for recipe in self.recipes() if recipe.id.startswith(start)]
        if len(found) != 1:
            raise StoreError(f"{self.path}: {len(found)} recipes begin with {start!r}; `headstart cache ls` lists the ids")
        return found[0]

    def missing(self, recipe: Recipe, keys: np.ndarray, outputs: Iterable[str]) -> np.ndarray:
        """Return a mask `[n]`, true where a key of `[n, 16]` lacks at least one of the outputs."""
        outputs = list(outputs)

        def look() -> np.ndarray:
            index = self._index(recipe)
            mask = np.zeros(len(keys), bool)
            for output in outputs:
                mask |= True if index is None else index.missing(keys, output)
            return mask

        return self._steadily(recipe, look)

    def read(self, recipe: Recipe, keys: np.ndarray, output: str) -> np.ndarray | Ragged:
        """Return the features `[n, d]` of `keys [n, 16]` in their order, or a `Ragged` of `n` samples.

        Raises
        ------
        StoreError
            If a key has no row (`missing` tells which), or a shard cannot be read.
        """

        def fetch() -> np.ndarray | Ragged:
            return gather_runs(*self._locate(recipe, keys, output), output)

        self._mark_used(recipe)
        return self._steadily(recipe, fetch)

    def rows(self, recipe: Recipe, keys: np.ndarray, output: str) -> StoredRows:
        """Return the features of `keys [n, 16]` as an array on disk, of which only what is asked for is read."""

        def find() -> StoredRows:
            return StoredRows(lambda: self._steadily(recipe, lambda: self._locate(recipe, keys, output)), output)

        self._mark_used(recipe)
        return self._steadily(recipe, find)

    def commit(
        self,
        recipe: Recipe,
        keys: np.ndarray,
        outputs: Mapping[str, np.ndarray | Ragged],
        provenance: Mapping[str, Any] | None = None,
    ) -> Path:
        """Add rows as one shard: keys `[n, 16]` uint8, per output `[n, d]` or `Ragged`, all finite.

        Raises
        ------
        ValueError
            If shapes or types do not fit the recipe, or a feature is not finite.
        StoreError
            If the shard cannot be written; then nothing has changed.
        """
        if self.budget is not None:
            more = FILE_BYTES + keys.nbytes + sum(_bytes_of(array) for array in outputs.values())
            self.budget.make_room(self.path, {recipe.id, *self._used}, more)
        self.prepare(recipe)
        self._mark_used(recipe)
        return write_shard(self.shard_folder(recipe), recipe, keys, outputs, provenance or {})

    def lease(self, recipe: Recipe) -> Lease:
        """Return a lease on the recipe, with which a job claims the samples it is about to compute."""
        with contextlib.suppress(StoreError):  # a store that cannot be written has no need of it
            self._write_version()
        return Lease(self.folder(recipe) / "leases")

    def reports(self, recipe: Recipe, session: str) -> Reports:
        """Return the reports of the processes that share an extraction with the recipe, whose name is `session`."""
        return Reports(self.folder(recipe) / "leases", session)

    def holding(self, recipe: Recipe) -> Holding:
        """Count what the store holds of a recipe."""
        return self._steadily(recipe, lambda: self._count(recipe))

    def _count(self, recipe: Recipe) -> Holding:
        shards = self.shards(recipe)
        rows: dict[tuple[Path, ...], int] = {}  # outputs mostly share their shards, whose keys are then counted once

        def count(held: list[Shard]) -> int:
            places = tuple(shard.path for shard in held)
            if places not in rows:
                rows[places] = _count_keys(held)
            return rows[places]

        outputs = {}
        for name in sorted({name for shard in shards for name in shard.outputs}):
            held = [shard for shard in shards if name in shard.outputs]
            outputs[name] = (count(held), held[0].outputs[name])
        return Holding(recipe, count(shards), len(shards), sum(shard.size for shard in shards), outputs)

    def shards(self, recipe: Recipe) -> list[Shard]:
        """Return the shards of a recipe that hold, in the order of their names; damaged ones are set aside."""
        return list(self._look(recipe).shards.values())

    def keys(self, recipe: Recipe) -> np.ndarray:
        """Return the keys `[n, 16]` of all samples that have a row, each once."""
        keys = self._steadily(recipe, lambda: [np.array(shard.keys) for shard in self.shards(recipe)])
        unique = np.unique(np.concatenate([sortable(part) for part in keys])) if keys else np.empty(0, f"S{KEY_BYTES}")
        return unique.view(np.uint8).reshape(-1, KEY_BYTES)

    def folder(self, recipe: Recipe) -> Path:
        """Return where everything of a recipe is."""
        return self.path / "recipes" / recipe.id

    def shard_folder(self, recipe: Recipe) -> Path:
        """Return where a recipe's shards are."""
        return self.folder(recipe) / "shards"

    def quarantine(self, path: Path, reason: str) -> str:
        """Set a damaged file of a recipe aside, with the reason beside it; return what became of it, for a message."""
        place = path.parent.parent / "quarantine"
        try:
            make_folder(place)
            path.replace(place / path.name)
            write_atomically(place / f"{path.name}.reason", f"{reason}\n".encode())
        except FileNotFoundError:
            return "gone meanwhile"
        except (StoreError, OSError):
            return "left where it is, which is not writable"
        return f"moved to {place}"

    def damage(self, path: Path, recipe: Recipe) -> str | None:
        """Check every byte of a shard of a recipe; set it aside and return why if something does not hold, else None."""
        try:
            verify_shard(path, recipe)
        except DamagedShardError as error:
            return f"{error}; {self.quarantine(path, str(error))}"
        return None

    def _locate(self, recipe: Recipe, keys: np.ndarray, output: str) -> tuple[list[Shard], Runs]:
        index = self._index(recipe)
        place = None if index is None else index.locate(keys, output)
        if index is None or place is None or not any(output in shard.outputs for shard in index.shards):
            lacking = int(self.missing(recipe, keys, [output]).sum())
            raise StoreError(f"{self.path}: {lacking} of {len(keys)} samples have no {output} under recipe {recipe.id}")
        return index.shards, place

    def _steadily(self, recipe: Recipe, work: Callable[[], _T]) -> _T:
        """Do something over a recipe's shards, anew if one of them was removed or replaced meanwhile."""
        for _ in range(4):
            try:
                return work()
            except ChangedFileError:
                self._held.pop(recipe.id, None)
        return work()

    def _read_version(self) -> int:
        version = self.path / "VERSION"
        try:
            return self._check_version(version)
        except OSError as error:
            raise told(self.path, error) from error

    def _check_version(self, version: Path) -> int:
        if version.is_file():
            text = read_small(version, 64).decode(errors="replace").strip()
            if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= STORE_FORMAT:
                raise StoreError(
                    f"{version}: store format {text[:20]!r} is not known here (this is {STORE_FORMAT}); update headstart"
                )
            return int(text)
        if self.path.exists() and not self._is_beginning() and not version.is_file():
            raise StoreError(f"{self.path}: exists and is not a feature store; name another folder")
        return STORE_FORMAT

    def prepare(self, recipe: Recipe) -> None:
        """Make the recipe's place, so that a committed shard is never without its recipe; bring an older store up to date."""
        description, content = self.folder(recipe) / "recipe.json", recipe.to_json().encode()
        if recipe.id in self._prepared and description.is_file():
            return
        self._write_version()
        if not description.is_file() or description.stat().st_size != len(content) or description.read_bytes() != content:
            write_atomically(description, content)
        here = self.folder(recipe)
        for folder in (self.path, self.path / "tables", here, *(here / part for part in ("shards", "index", "quarantine"))):
            remove_leftovers(folder)
        self._prepared.add(recipe.id)

    def _is_beginning(self) -> bool:
        """Tell whether there is nothing here but what another process has just begun to write."""
        return self.path.is_dir() and all(path.name.startswith(TEMPORARY_PREFIX) for path in self.path.iterdir())

    def _write_version(self) -> None:
        version = self.path / "VERSION"
        if not version.is_file() or self.format < STORE_FORMAT:
            write_atomically(version, f"{STORE_FORMAT}\n".encode())
            self.format = STORE_FORMAT

    def read_recipe(self, folder: Path) -> Recipe:
        """Read the recipe of a folder; raises `StoreError` if it is missing or not the folder's."""
        description = folder / "recipe.json"
        if folder.is_symlink():
            raise StoreError(f"{folder}: is a link; links are not followed inside a store")
        try:
            recipe = Recipe.from_json(read_small(description, MOST_RECIPE_BYTES).decode())
        except UnicodeDecodeError as error:
            raise StoreError(f"{description}: not a recipe: {error}") from error
        except ChangedFileError as error:
            raise StoreError(f"{description}: is missing; the next extraction with this recipe writes it again") from error
        except StoreError as error:
            reason = str(error)
            raise StoreError(reason if reason.startswith(str(description)) else f"{description}: {reason}") from error
        if recipe.id != folder.name:
            raise StoreError(f"{description}: holds the recipe {recipe.id}, not that of its folder")
        return recipe

    def _look(self, recipe: Recipe) -> _Held:
        """Bring what is known of a recipe's shards up to date with the folder; damaged ones are set aside."""
        held = self._held.setdefault(recipe.id, _Held())
        folder = self.shard_folder(recipe)
        names = [path.name for path in list_shards(folder)]
        if held.rejected:  # still there since nobody may write here; unless it was mended
            held.rejected = {n: stamp for n, stamp in held.rejected.items() if n in names and _stamp(folder / n) == stamp}
            names = [name for name in names if name not in held.rejected]
        if names == list(held.shards):
            return held
        unknown = [name for name in names if name not in held.shards]
        opened = dict(zip(unknown, open_shards([folder / name for name in unknown], recipe), strict=True))
        shards: dict[str, Shard] = {}
        for name in names:
            shard, error = opened.get(name, (held.shards.get(name), None))
            if shard is not None:
                shards[name] = shard
            elif isinstance(error, DamagedShardError):
                stamp = _stamp(folder / name)
                fate = self.quarantine(folder / name, str(error))
                if stamp == _stamp(folder / name):
                    held.rejected[name] = stamp
                warnings.warn(
                    StoreWarning(f"damaged shard: {error}; {fate}; its rows count as missing and are extracted again"),
                    stacklevel=2,
                )
            elif error is not None and not isinstance(error, ChangedFileError):  # removed since it was listed
                raise error
        held.index = Index(list(shards.values()), self.folder(recipe) / "index", held.index) if shards else None
        held.shards = shards
        return held

    def _index(self, recipe: Recipe) -> Index | None:
        return self._look(recipe).index

    def _mark_used(self, recipe: Recipe) -> None:
        """Leave a mark of when the recipe was last used, by which a full store can tell what to part with."""
        if recipe.id not in self._used:
            self._used.add(recipe.id)
            with contextlib.suppress(OSError):
                os.utime(self.folder(recipe) / "recipe.json")


def _stamp(path: Path) -> str:
    try:
        status = path.lstat()
    except OSError:
        return "gone"
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def _count_keys(shards: Iterable[Shard]) -> int:
    keys = [shard.keys for shard in shards]
    return len(np.unique(sortable(np.concatenate(keys)))) if keys else 0


def _bytes_of(features: np.ndarray | Ragged) -> int:
    return features.values.nbytes + features.offsets.nbytes if isinstance(features, Ragged) else features.nbytes
