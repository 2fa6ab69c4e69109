"""The feature store: a folder or bucket that maps (recipe, output, sample key) to a feature vector.

Recipes and their shards are here; tables of data sets are in `table`, the files' layout in `shard`, upkeep in `maintenance`;
what differs between a folder and a bucket is in `place`.
"""

import contextlib
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cache.atomic import remove_leftovers, write_atomically
from cache.budget import Budget
from cache.errors import StoreError, StoreWarning
from cache.files import ChangedFileError, read_small, told
from cache.gather import gather_runs
from cache.index import Index, Runs
from cache.keys import KEY_BYTES, sortable
from cache.known_shards import KnownShards
from cache.lease import Lease
from cache.place import absolute, find_place
from cache.ragged import Ragged
from cache.recipe import RECIPE_ID, Recipe
from cache.reports import Reports
from cache.rows import StoredRows
from cache.shard import DamagedShardError, Shard, is_shard_name, write_shard
from cache.table import Table, is_kept, is_table_name, table_path, write_table

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


class FeatureStore:
    """A place of features, shared by any number of readers and writers.

    Parameters
    ----------
    path
        The folder, which is made at the first commit; or a URL that fsspec knows, such as `s3://bucket/features`.
    budget
        How large it may become; None for as large as the disk.
    storage_options
        Where it is a URL: what fsspec's file system takes (endpoint, credentials); by default what the environment says.

    Attributes
    ----------
    place
        Where the files are.
    path
        The folder; for a store in a bucket, the folder that mirrors what has been looked at of it.
    name
        The folder or URL, for messages.
    address, storage_options
        What another process opens the same store with.

    Raises
    ------
    StoreError
        If the folder or bucket holds something else, or a store of a newer format, or cannot be reached.
    """

    def __init__(
        self, path: str | Path, budget: Budget | None = None, storage_options: Mapping[str, Any] | None = None
    ) -> None:
        self.place = find_place(path, storage_options)
        self.path, self.name = self.place.root, self.place.name
        self.address = absolute(path)
        self.storage_options = dict(storage_options or {})
        self.budget = budget
        if budget is not None:
            budget.check(self.place)
        self._known: dict[str, KnownShards] = {}
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
        folders = [path for path in self.place.listed(self.path / "recipes") if RECIPE_ID.fullmatch(path.name)]
        self.place.pull(*(path / "recipe.json" for path in folders if not (path / "recipe.json").exists()))
        return [path for path in folders if path.is_symlink() or (path / "recipe.json").exists() or self._has_shards(path)]

    def _has_shards(self, folder: Path) -> bool:
        try:
            return bool(self.shard_files(folder))
        except StoreError:  # told by whoever looks into it
            return True

    def shard_files(self, folder: Path) -> list[Path]:
        """Return the files of a recipe's shards, in its `folder`, without opening any."""
        return [path for path in self.place.listed(folder / "shards") if is_shard_name(path.name)]

    def tables(self) -> list[Path]:
        """Return the files of the store's tables, sorted by name, as they are now."""
        paths = [path for path in self.place.listed(self.path / "tables") if is_table_name(path.name)]
        self.place.pull(*paths)
        return [path for path in paths if path.exists()]

    def find_table(self, file_name: str) -> Path:
        """Return where a table by its file's name is, brought up to date; there is no file if the store has none."""
        path = self.path / "tables" / file_name
        self.place.pull(path)
        return path

    def write_table(self, table: Table) -> Path:
        """Keep a table, if it is not there as it is already; return its file."""
        path = table_path(self.path, table)
        self.place.pull(path)
        if not is_kept(path, table):
            self.place.publish(write_table(self.path, table))
        return path

    def exists(self) -> bool:
        """Tell whether there is a store already."""
        return (self.path / "VERSION").is_file()

    def find_recipe(self, start: str) -> Recipe:
        """Return the one recipe whose id begins with `start`; raises `StoreError` if there is not exactly one."""
        found = [recipe for recipe in self.recipes() if recipe.id.startswith(start)]
        if len(found) != 1:
            raise StoreError(f"{self.name}: {len(found)} recipes begin with {start!r}; `headstart cache ls` lists the ids")
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
            self.budget.make_room(self.place, {recipe.id, *self._used}, more)
        self.prepare(recipe)
        self._mark_used(recipe)
        return self.write_shard(recipe, keys, outputs, provenance or {})

    def write_shard(
        self, recipe: Recipe, keys: np.ndarray, outputs: Mapping[str, np.ndarray | Ragged], provenance: Mapping[str, Any]
    ) -> Path:
        """Write a shard of a recipe that has its place; see `cache.shard.write_shard`."""
        path = write_shard(self.shard_folder(recipe), recipe, keys, outputs, provenance)
        self.place.publish(path)
        return path

    def lease(self, recipe: Recipe) -> Lease:
        """Return a lease on the recipe, with which a job claims the samples it is about to compute."""
        with contextlib.suppress(StoreError):  # a store that cannot be written has no need of it
            self._write_version()
        return Lease(self.folder(recipe) / "leases")

    def reports(self, recipe: Recipe, session: str) -> Reports:
        """Return the reports of the processes that share an extraction with the recipe, whose name is `session`."""
        return Reports(self.place, self.folder(recipe) / "leases", session)

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

    def called(self, path: Path) -> str:
        """Return what a file of the store is called in messages."""
        return f"{self.name}/{path.relative_to(self.path).as_posix()}" if path.is_relative_to(self.path) else str(path)

    def folder(self, recipe: Recipe) -> Path:
        """Return where everything of a recipe is."""
        return self.path / "recipes" / recipe.id

    def shard_folder(self, recipe: Recipe) -> Path:
        """Return where a recipe's shards are."""
        return self.folder(recipe) / "shards"

    def quarantine(self, path: Path, reason: str) -> str:
        """Set a damaged file of a recipe aside, with the reason beside it; return what became of it, for a message."""
        return self.place.quarantine(path, reason)

    def is_sound(self, path: Path, recipe: Recipe) -> bool:
        """Tell whether a shard holds; every byte of it is read, but in a bucket, of which the end is."""
        if self.place.shared:
            return self.damage(path, recipe) is None
        ((_, error),) = self.place.open_shards([path], recipe)
        return error is None

    def damage(self, path: Path, recipe: Recipe) -> str | None:
        """Check every byte of a shard of a recipe; set it aside and return why if something does not hold, else None."""
        try:
            self.place.verify_shard(path, recipe)
        except DamagedShardError as error:
            return f"{error}; {self.quarantine(path, str(error))}"
        return None

    def _locate(self, recipe: Recipe, keys: np.ndarray, output: str) -> tuple[list[Shard], Runs]:
        index = self._index(recipe)
        place = None if index is None else index.locate(keys, output)
        if index is None or place is None or not any(output in shard.outputs for shard in index.shards):
            lacking = int(self.missing(recipe, keys, [output]).sum())
            raise StoreError(f"{self.name}: {lacking} of {len(keys)} samples have no {output} under recipe {recipe.id}")
        return index.shards, place

    def _steadily(self, recipe: Recipe, work: Callable[[], _T]) -> _T:
        """Do something over a recipe's shards, anew if one of them was removed or replaced meanwhile."""
        for _ in range(4):
            try:
                return work()
            except ChangedFileError:
                self._known.pop(recipe.id, None)
        return work()

    def _read_version(self) -> int:
        version = self.path / "VERSION"
        self.place.pull(version)
        try:
            return self._check_version(version)
        except OSError as error:
            raise told(self.path, error) from error

    def _check_version(self, version: Path) -> int:
        if version.is_file():
            text = read_small(version, 64).decode(errors="replace").strip()
            if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= STORE_FORMAT:
                raise StoreError(
                    f"{self.name}/VERSION: store format {text[:20]!r} is not known here (this is {STORE_FORMAT}); "
                    "update headstart"
                )
            return int(text)
        if self.place.is_foreign():
            raise StoreError(f"{self.name}: exists and is not a feature store; name another folder")
        return STORE_FORMAT

    def prepare(self, recipe: Recipe) -> None:
        """Make the recipe's place, so that a committed shard is never without its recipe; bring an older store up to date."""
        description, content = self.folder(recipe) / "recipe.json", recipe.to_json().encode()
        if recipe.id in self._prepared and description.is_file():
            return
        self._write_version()
        self.place.pull(description)
        if not description.is_file() or description.stat().st_size != len(content) or description.read_bytes() != content:
            write_atomically(description, content)
            self.place.publish(description)
        here = self.folder(recipe)
        for folder in (
            self.path,
            self.path / "tables",
            here,
            *(here / part for part in ("shards", "index", "quarantine", "heads")),
        ):
            remove_leftovers(folder)
        self._prepared.add(recipe.id)

    def mend(self, recipe: Recipe) -> None:
        """Write a recipe's description again where shards of it are here and it is missing or damaged, if that is allowed."""
        folder = self.folder(recipe)
        if not self.place.shared or folder.is_symlink() or not self.shard_files(folder):
            return
        try:
            self.read_recipe(folder)
        except StoreError:
            with contextlib.suppress(StoreError):
                self.prepare(recipe)

    def _write_version(self) -> None:
        version = self.path / "VERSION"
        if not version.is_file() or self.format < STORE_FORMAT:
            write_atomically(version, f"{STORE_FORMAT}\n".encode())
            self.place.publish(version)
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

    def _look(self, recipe: Recipe) -> KnownShards:
        """Bring what is known of a recipe's shards up to date with the folder; damaged ones are set aside."""
        if recipe.id not in self._known:
            self._known[recipe.id] = KnownShards(self.place, self.folder(recipe), recipe)
        known = self._known[recipe.id]
        known.update(self.shard_files(self.folder(recipe)))
        return known

    def _index(self, recipe: Recipe) -> Index | None:
        return self._look(recipe).index

    def _mark_used(self, recipe: Recipe) -> None:
        """Leave a mark of when the recipe was last used, by which a full store can tell what to part with."""
        if recipe.id not in self._used:
            self._used.add(recipe.id)
            self.place.mark_used(self.folder(recipe))


def _count_keys(shards: Iterable[Shard]) -> int:
    keys = [shard.keys for shard in shards]
    return len(np.unique(sortable(np.concatenate(keys)))) if keys else 0


def _bytes_of(features: np.ndarray | Ragged) -> int:
    return features.values.nbytes + features.offsets.nbytes if isinstance(features, Ragged) else features.nbytes
