"""Shards: immutable files of features, written whole, checked before they are used, read as rows are asked for.

The checksum of a file is checked before HDF5 sees it, and what HDF5 said of it is remembered on this machine, so that a
file that has not changed is opened without HDF5. What is in the file is in `layout`.
"""

import contextlib
import errno
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cache import files
from cache.atomic import write_atomically
from cache.directory import Extent
from cache.errors import StoreError
from cache.layout import FORMAT, TRAILER, TRAILER_BYTES, build_file, name_of, read_structure
from cache.memo import recall, remember, stamp_of
from cache.ragged import Ragged
from cache.recipe import Recipe

_SHARD_NAME = re.compile(r"[0-9a-f]{32}\.h5")
_FACT = f"shard {FORMAT}"
_NOT_ITS_FAULT = (errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOMEM, errno.ESTALE)


class DamagedShardError(StoreError):
    """A shard's structure or checksums do not hold; its rows count as missing."""


@dataclass(frozen=True)
class Shard:
    """A checked shard: it is known where its arrays lie, and they are read as they are asked for.

    Attributes
    ----------
    path
        The file.
    stamp
        The file's status when it was checked; whoever reads it makes sure that it is the same.
    rows
        How many samples it has.
    extents
        Name of a dataset in the file -> where it lies.
    """

    path: Path
    stamp: str
    rows: int
    extents: Mapping[str, Extent]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return int(self.stamp.partition(":")[0])

    @cached_property
    def outputs(self) -> Mapping[str, int]:
        """Output name -> width."""
        names = (name.split("/")[1] for name in self.extents if _holds_features(name))
        return {name: self._features(name).shape[1] for name in names}

    @property
    def keys(self) -> np.ndarray:
        """`[n, 16]` uint8."""
        return self._view("keys")

    def is_ragged(self, output: str) -> bool:
        """Tell whether samples have several vectors of this output."""
        return f"outputs/{output}/values" in self.extents

    def dtype(self, output: str) -> np.dtype:
        """Type of an output's features."""
        return np.dtype(self._features(output).dtype)

    def offsets(self, output: str) -> np.ndarray:
        """`[n + 1]` int64 of a ragged output: sample `i` has the vectors `offsets[i]` to `offsets[i + 1]`."""
        return self._view(f"outputs/{output}/offsets")

    def read_rows(self, output: str, start: int, into: np.ndarray) -> None:
        """Fill `[m, d]` with consecutive vectors from number `start` on: samples', or for a ragged output their vectors'."""
        extent = self._features(output)
        width = extent.shape[1] * np.dtype(extent.dtype).itemsize
        files.read_into(self.path, self.stamp, extent.offset + start * width, into)

    def map_rows(self, output: str) -> np.ndarray:
        """Return an output's vectors `[n, d]`, or `[sum, d]` of a ragged one, as an array over the file, for scattered rows."""
        name = f"outputs/{output}/values" if self.is_ragged(output) else f"outputs/{output}"
        return self._view(name)

    def take_rows(self, output: str, rows: np.ndarray) -> np.ndarray:
        """Return vectors by their numbers `[m]` in any order, `[m, d]`."""
        extent = self._features(output)
        return files.MAPS.take(self.path, self.stamp, extent.offset, extent.shape, np.dtype(extent.dtype), rows)

    def read_output(self, output: str) -> np.ndarray | Ragged:
        """Read a whole output into memory."""
        values = np.empty(self._features(output).shape, self.dtype(output))
        self.read_rows(output, 0, values)
        return Ragged(values, np.array(self.offsets(output))) if self.is_ragged(output) else values

    def _features(self, output: str) -> Extent:
        return self.extents.get(f"outputs/{output}") or self.extents[f"outputs/{output}/values"]

    def _view(self, name: str) -> np.ndarray:
        extent = self.extents[name]
        return files.MAPS.view(self.path, self.stamp, extent.offset, extent.shape, np.dtype(extent.dtype))


def is_shard_name(name: str) -> bool:
    """Tell whether a file's name is that of a shard."""
    return _SHARD_NAME.fullmatch(name) is not None


def write_shard(
    folder: Path,
    recipe: Recipe,
    keys: np.ndarray,
    outputs: Mapping[str, np.ndarray | Ragged],
    provenance: Mapping[str, Any],
) -> Path:
    """Commit rows as one shard and return its path.

    Parameters
    ----------
    folder
        Where shards of this recipe live.
    recipe
        What the features were made by; written into the shard in full.
    keys
        `[n, 16]` uint8.
    outputs
        Output name -> `[n, d]`, or `Ragged` of `n` samples, in the type that the recipe has for the output.
    provenance
        What was used but cannot change a value (device, library versions); JSON values.

    Raises
    ------
    ValueError
        If shapes, dtypes or names do not fit, or a feature is not finite.
    StoreError
        If the file cannot be written.
    """
    name, parts, extents = build_file(recipe, keys, outputs, provenance)
    path = folder / name
    write_atomically(path, *parts)
    with contextlib.suppress(OSError):  # what was just written need not be checked
        stamp = stamp_of(path)
        remember([(path, stamp, _to_json(Shard(path, stamp, len(keys), extents), recipe))], _FACT)
    return path


def open_shard(path: Path, recipe: Recipe) -> Shard:
    """Open one shard; see `open_shards`. Raises `DamagedShardError`, or `StoreError` if it cannot be read at all."""
    ((shard, error),) = open_shards([path], recipe)
    if error is not None:
        raise error
    assert shard is not None
    return shard


def open_shards(paths: Sequence[Path], recipe: Recipe) -> list[tuple[Shard | None, StoreError | None]]:
    """Open shards after checking their structure, and their checksums the first time they are opened on a machine.

    Returns
    -------
    list
        A shard, or the reason why it is none: `DamagedShardError` where the file is not what its name, its attributes and the
        recipe say, `StoreError` where the operating system does not let it be read.
    """
    present = [path for path in paths if path.is_file()]
    answers = dict(zip(present, recall(present, _FACT), strict=True))
    found: list[tuple[Shard | None, StoreError | None]] = []
    learnt = []
    for path in paths:
        try:
            if path.is_symlink():
                raise DamagedShardError(f"{path}: is a link; links are not followed inside a store")
            shard = _from_json(path, answers.get(path), recipe)
            if shard is None:
                shard = _check(path, recipe, every_sum=False)
                learnt.append((path, shard.stamp, _to_json(shard, recipe)))
            found.append((shard, None))
        except StoreError as error:
            found.append((None, error))
    if learnt:
        remember(learnt, _FACT)
    return found


def verify_shard(path: Path, recipe: Recipe) -> Shard:
    """Check every byte of a shard against its checksums, whatever is remembered of it.

    Raises
    ------
    DamagedShardError
        If something does not hold.
    StoreError
        If the file cannot be read.
    """
    shard = _check(path, recipe, every_sum=True)
    remember([(path, shard.stamp, _to_json(shard, recipe))], _FACT)
    return shard


def _holds_features(name: str) -> bool:
    return name.split("/", maxsplit=1)[0] == "outputs" and name.split("/")[2:] != ["offsets"]


def _check(path: Path, recipe: Recipe, every_sum: bool) -> Shard:
    """Find out where a shard's arrays lie, after seeing that it is whole."""
    with files.opened(path) as descriptor:
        stamp = stamp_of(descriptor)
        size = int(stamp.partition(":")[0])
        sealed = _is_sealed(path, descriptor, size)
    try:
        rows, extents, said = read_structure(path, size, recipe, sealed)
        shard = Shard(path, stamp, rows, extents)
        sums = said if said is not None and not every_sum else {name: _checksum(shard, name) for name in extents}
        if said is not None and (wrong := [name for name in sums if sums[name] != said[name]]):
            raise ValueError(f"checksum of {', '.join(wrong)} does not hold")
        if name_of(FORMAT if sealed else 1, recipe, sums) != path.name:
            raise ValueError("its name is not the hash of its content")
        for name in shard.outputs:
            if shard.is_ragged(name):
                Ragged(shard.map_rows(name), np.array(shard.offsets(name)))
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise files.ChangedFileError(f"{path}: is gone") from error
        if error.errno in _NOT_ITS_FAULT:
            raise files.told(path, error) from error
        raise DamagedShardError(f"{path}: does not open as HDF5: {error}") from error
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError, OverflowError) as error:
        raise DamagedShardError(f"{path}: {error}") from error
    return shard


def _is_sealed(path: Path, descriptor: int, size: int) -> bool:
    """Compare a file with the checksum it ends in; False where it has none, as the first format's."""
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(max(0, size - TRAILER_BYTES))
        trailer = file.read(TRAILER_BYTES)
    if not trailer.startswith(TRAILER):
        return False
    if files.digest(descriptor, 0, size - TRAILER_BYTES) != trailer[len(TRAILER) :]:
        raise DamagedShardError(f"{path}: the checksum of the file does not hold")
    return True


def _checksum(shard: Shard, name: str) -> str:
    extent = shard.extents[name]
    length = int(np.prod(extent.shape)) * np.dtype(extent.dtype).itemsize
    with files.opened(shard.path, shard.stamp) as descriptor:
        return files.digest(descriptor, extent.offset, extent.offset + length).hex()


def _to_json(shard: Shard, recipe: Recipe) -> str:
    extents = {name: (extent.offset, extent.shape, extent.dtype) for name, extent in shard.extents.items()}
    return json.dumps({"recipe": recipe.id, "stamp": shard.stamp, "rows": shard.rows, "extents": extents})


def _from_json(path: Path, answer: str | None, recipe: Recipe) -> Shard | None:
    content = {} if answer is None else json.loads(answer)
    if content.get("recipe") != recipe.id:
        return None
    extents = {name: Extent(offset, tuple(shape), dtype) for name, (offset, shape, dtype) in content["extents"].items()}
    return Shard(path, content["stamp"], content["rows"], extents)
