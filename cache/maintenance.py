"""Upkeep of a store: check every byte, remove what nothing refers to, join small shards."""

import contextlib
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cache.atomic import remove_leftovers
from cache.errors import StoreError, StoreWarning
from cache.files import ChangedFileError
from cache.gather import gather, kind_of
from cache.index import read_segment
from cache.keys import KEY_BYTES, sortable
from cache.layout import provenance_of
from cache.lease import living, turn
from cache.ragged import Ragged
from cache.recipe import Recipe
from cache.shard import Shard
from cache.store import FeatureStore
from cache.table import read_keys

SHARD_BYTES = 128 * 2**20
"""What compaction aims at."""

LEAST_WANTED = 0.5
"""Share of a shard's rows that must be wanted for collection to leave the shard as it is."""

NO_KEYS = np.empty(0, "S16")
OnProgress = Callable[[int], None]


@dataclass
class Verification:
    """What a check of every byte found: how many shards there were, and file -> reason for what is damaged."""

    shards: int = 0
    damaged: dict[Path, str] = field(default_factory=dict)


@dataclass
class Collection:
    """What was removed, or would be.

    Attributes
    ----------
    removed_shards, rewritten_shards
        Shards of which no row was wanted, and those rewritten without their unwanted rows.
    removed_tables
        Tables that were asked to be dropped.
    freed_bytes
        Bytes that are free now.
    busy
        Recipes that were left alone since a job is at work on them.
    young_shards
        Shards in a bucket that were left alone, wanted or not, since a job elsewhere may have written them a moment ago.
    """

    dry_run: bool
    removed_shards: int = 0
    rewritten_shards: int = 0
    removed_tables: list[Path] = field(default_factory=list)
    freed_bytes: int = 0
    busy: list[str] = field(default_factory=list)
    young_shards: int = 0


@dataclass
class Compaction:
    """What compaction did, or would do: shards before and after, and duplicate rows dropped."""

    dry_run: bool
    before: int = 0
    after: int = 0
    dropped_rows: int = 0


def shard_files(store: FeatureStore) -> list[Path]:
    """Return every shard file of a store, without opening any."""
    return [path for folder in store.recipe_folders() for path in store.shard_files(folder)]


def verify(store: FeatureStore, on_shard: OnProgress | None = None) -> Verification:
    """Check every byte of every shard, the recipes and the tables; set damaged shards aside.

    Parameters
    ----------
    store
        The store.
    on_shard
        Called after every shard with its size in bytes.
    """
    found = Verification()
    for folder in store.recipe_folders():
        recipe = None
        try:
            recipe = store.read_recipe(folder)
        except StoreError as error:
            found.damaged[folder / "recipe.json"] = str(error)
        for path in _listed(store, folder, found):
            size = store.place.size(path)
            if recipe is None:
                found.damaged[path] = f"{path}: its recipe does not hold; the next extraction with it writes it again"
            elif not _verify_shard(store, path, recipe, found):
                continue  # removed since it was listed
            found.shards += 1
            if on_shard is not None:
                on_shard(size)
        if any((folder / "index").glob("*.idx")) and read_segment(folder / "index") is None:
            for index in (folder / "index").glob("*.idx"):
                with contextlib.suppress(OSError):
                    index.unlink()  # derived from the shards, and built again when it is needed
    for path in store.tables():
        try:
            read_keys(path)
        except StoreError as error:
            found.damaged[path] = str(error)
    return found


def collect(
    store: FeatureStore,
    dry_run: bool,
    drop_recipes: Iterable[Recipe] = (),
    drop_tables: Iterable[Path] = (),
    on_recipe: OnProgress | None = None,
) -> Collection:
    """Remove the rows that no table refers to, and leftovers of writers that died.

    Parameters
    ----------
    store
        The store.
    dry_run
        Only tell what would be removed.
    drop_recipes
        Recipes of which all rows are unwanted, whatever tables say.
    drop_tables
        Tables to remove first.
    on_recipe
        Called with 1 after every recipe.

    Raises
    ------
    StoreError
        If a table cannot be read: it is not known then what is wanted, and nothing is removed.
    """
    collection = Collection(dry_run)
    dropped = set(drop_tables)
    unwanted = {recipe.id for recipe in drop_recipes}
    wanted = _Wanted(store, dropped)
    wanted.keys()
    for path in sorted(dropped & set(store.tables())):
        collection.removed_tables.append(path)
        collection.freed_bytes += store.place.size(path)
        if not dry_run:
            store.place.remove(path)
    for recipe in store.recipes():
        with turn(store.folder(recipe) / "leases"):  # a job that begins now waits until this recipe is done
            if living(store.folder(recipe) / "leases"):
                collection.busy.append(recipe.id)
            else:
                unasked = recipe.id not in unwanted
                _collect_recipe(store, recipe, wanted.keys() if unasked else NO_KEYS, collection, unasked)
        if on_recipe is not None:
            on_recipe(1)
    if not dry_run:
        for folder in (store.path, store.path / "tables"):
            remove_leftovers(folder)
    return collection


def compact(store: FeatureStore, recipe: Recipe, dry_run: bool, shard_bytes: int = SHARD_BYTES) -> Compaction:
    """Join a recipe's small shards into large ones, in the order of the tables, without rows that are held twice.

    Readers and writers may go on meanwhile. A shard is removed only once all its rows are in new ones.

    Parameters
    ----------
    store, recipe
        What to compact.
    dry_run
        Only count.
    shard_bytes
        Size aimed at; a shard of at least half of it is left alone.
    """
    result = Compaction(dry_run)
    by_outputs: dict[tuple[tuple[str, int, bool], ...], list[Shard]] = {}
    for shard in store.shards(recipe):
        result.before += 1
        if shard.size < shard_bytes / 2 and (dry_run or _is_sound(store, shard, recipe)):
            kinds = tuple(sorted((name, width, shard.is_ragged(name)) for name, width in shard.outputs.items()))
            by_outputs.setdefault(kinds, []).append(shard)
    result.after = result.before
    for shards in by_outputs.values():
        if len(shards) > 1:
            _join(store, recipe, shards, shard_bytes, result)
    return result


def _listed(store: FeatureStore, folder: Path, found: Verification) -> list[Path]:
    try:
        return store.shard_files(folder)
    except StoreError as error:
        found.damaged[folder / "shards"] = str(error)
        return []


def _verify_shard(store: FeatureStore, path: Path, recipe: Recipe, found: Verification) -> bool:
    try:
        damage = store.damage(path, recipe)
    except ChangedFileError:
        return store.place.stamp(path) != "gone"
    except StoreError as error:
        damage = str(error)
    if damage is not None:
        found.damaged[path] = damage
    return True


class _Wanted:
    """The keys that a store's tables refer to, but for some that are about to be dropped; looks for new tables every time."""

    def __init__(self, store: FeatureStore, dropped: set[Path]) -> None:
        self.store = store
        self.dropped = dropped
        self._keys = NO_KEYS
        self._read: list[Path] = []

    def keys(self) -> np.ndarray:
        tables = [path for path in self.store.tables() if path not in self.dropped]
        if tables != self._read:
            self._keys = np.unique(np.concatenate([NO_KEYS, *(sortable(read_keys(path)) for path in tables)]))
            self._read = tables
        return self._keys


def _collect_recipe(store: FeatureStore, recipe: Recipe, wanted: np.ndarray, collection: Collection, spare_young: bool) -> None:
    shards = store.shards(recipe)
    gone: list[Path] = []
    gone_whole = 0
    for shard in shards:
        keep = np.isin(sortable(shard.keys), wanted)
        if keep.mean() >= LEAST_WANTED:
            continue
        if spare_young and store.place.is_young(shard.path):
            collection.young_shards += 1
            continue
        if keep.any():
            if not _is_sound(store, shard, recipe):
                continue
            collection.rewritten_shards += 1
            collection.freed_bytes += int(shard.size * (1 - keep.mean()))
            if not collection.dry_run:
                _rewrite(store, recipe, [shard], np.zeros(int(keep.sum()), np.int64), np.flatnonzero(keep))
        else:
            collection.removed_shards += 1
            collection.freed_bytes += shard.size
            gone_whole += 1
        gone.append(shard.path)
    if not collection.dry_run:
        store.place.remove(*gone)
        for part in ("shards", "index", "leases"):
            remove_leftovers(store.folder(recipe) / part)
        if gone_whole == len(shards) and not store.shard_files(store.folder(recipe)):
            store.place.remove_recipe(store.folder(recipe))


def _is_sound(store: FeatureStore, shard: Shard, recipe: Recipe) -> bool:
    """Check every byte of a shard before its rows get new checksums; set it aside if something does not hold."""
    damage = store.damage(shard.path, recipe)
    if damage is not None:
        warnings.warn(StoreWarning(f"damaged shard: {damage}; its rows count as missing"), stacklevel=2)
    return damage is None


def _join(store: FeatureStore, recipe: Recipe, shards: Sequence[Shard], shard_bytes: int, result: Compaction) -> None:
    shard = np.repeat(np.arange(len(shards)), [held.rows for held in shards])
    row = np.concatenate([np.arange(held.rows) for held in shards])
    keys = np.concatenate([sortable(held.keys) for held in shards])
    _, first = np.unique(keys, return_index=True)
    order = _in_table_order(store, keys, np.sort(first))
    size = sum(held.size for held in shards)
    pieces = np.array_split(order, max(1, round(size / shard_bytes)))
    result.dropped_rows += len(keys) - len(order)
    result.after += len(pieces) - len(shards)
    if result.dry_run:
        return
    made = {_rewrite(store, recipe, shards, shard[piece], row[piece]) for piece in pieces}
    store.place.remove(*(held.path for held in shards if held.path not in made))


def _in_table_order(store: FeatureStore, keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Order rows as the first table that names them does; those that none names stay behind, in their own order."""
    place = np.full(len(rows), np.iinfo(np.int64).max)
    start = 0
    for path in sorted(store.tables(), key=lambda path: path.stat().st_mtime_ns):
        try:
            named, at = np.unique(sortable(read_keys(path)), return_index=True)
        except StoreError:
            continue
        found = np.minimum(np.searchsorted(named, keys[rows]), len(named) - 1)
        here = (named[found] == keys[rows]) & (place == np.iinfo(np.int64).max) if len(named) else np.zeros(len(rows), bool)
        place[here] = start + at[found[here]]
        start += len(at)
    return rows[np.argsort(place, kind="stable")]


def _rewrite(store: FeatureStore, recipe: Recipe, shards: Sequence[Shard], shard: np.ndarray, row: np.ndarray) -> Path:
    """Write rows of shards as a new shard beside them; return its path."""
    keys = np.empty((len(row), KEY_BYTES), np.uint8)
    for number in np.unique(shard):
        here = shard == number
        keys[here] = shards[number].keys[row[here]]
    outputs: dict[str, np.ndarray | Ragged] = {
        name: gather(shards, shard, row, name, kind_of(shards, shard, name)) for name in shards[0].outputs
    }
    said = {json.dumps(provenance_of(store.place.whole(shards[number].path)), sort_keys=True) for number in np.unique(shard)}
    made_with = [json.loads(text) for text in sorted(said)]
    joined = [part for one in made_with for part in (one["joined"] if isinstance(one, dict) and "joined" in one else [one])]
    provenance = joined[0] if len(joined) == 1 else {"joined": joined}
    return store.write_shard(recipe, keys, outputs, provenance)
