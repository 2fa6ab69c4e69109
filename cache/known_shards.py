"""What an open store knows of a recipe's shards: which hold, which do not and stay where they are, where the keys are."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from cache.errors import StoreWarning
from cache.files import ChangedFileError
from cache.index import Index
from cache.place import Place
from cache.recipe import Recipe
from cache.shard import DamagedShardError, Shard


class KnownShards:
    """The shards of one recipe, as they were when the folder was last looked at.

    Attributes
    ----------
    shards
        File name -> shard, of those that hold.
    index
        Where their keys are; None where there is no shard.
    """

    def __init__(self, place: Place, folder: Path, recipe: Recipe) -> None:
        self.shards: dict[str, Shard] = {}
        self.index: Index | None = None
        self._place, self._folder, self._recipe = place, folder, recipe
        self._rejected: dict[str, str] = {}

    def update(self, files: Sequence[Path]) -> None:
        """Bring this up to date with the files that are there now; damaged ones are set aside, with a warning."""
        paths = {path.name: path for path in files}
        if self._rejected:  # still there since nobody may write here; unless it was mended
            stamps = {name: self._place.stamp(paths[name]) for name in self._rejected if name in paths}
            self._rejected = {name: stamp for name, stamp in stamps.items() if self._rejected[name] == stamp}
            paths = {name: path for name, path in paths.items() if name not in self._rejected}
        if list(paths) == list(self.shards):
            return
        unknown = [name for name in paths if name not in self.shards]
        opened = dict(zip(unknown, self._place.open_shards([paths[name] for name in unknown], self._recipe), strict=True))
        shards: dict[str, Shard] = {}
        for name, path in paths.items():
            shard, error = opened.get(name, (self.shards.get(name), None))
            if shard is not None:
                shards[name] = shard
            elif isinstance(error, DamagedShardError):
                self._refuse(path, error)
            elif error is not None and not isinstance(error, ChangedFileError):  # removed since it was listed
                raise error
        self.index = Index(list(shards.values()), self._folder / "index", self.index) if shards else None
        self.shards = shards

    def _refuse(self, path: Path, error: DamagedShardError) -> None:
        stamp = self._place.stamp(path)
        fate = self._place.refuse(path, str(error))
        if stamp == self._place.stamp(path):
            self._rejected[path.name] = stamp
        told = f"damaged shard: {error}; {fate}; its rows count as missing and are extracted again"
        warnings.warn(StoreWarning(told), stacklevel=4)
