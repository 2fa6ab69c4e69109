"""Shards: immutable HDF5 files of features, and the only place that touches h5py.

A shard holds `keys [n, 16] uint8` and per output a dataset `outputs/<output> [n, d]`, or a group of `values [sum, d]` and
`offsets [n + 1]` where samples have several vectors. All are contiguous and unfiltered, so that readers map them into
memory. Attributes carry format, recipe and a checksum per dataset; the file ends in a checksum of itself, and its name is
a hash of its content. The layout is a public format: docs/store-format.md.

The checksum of a file is checked before HDF5 sees it, and what HDF5 said of it is remembered on this machine, so that a
file that has not changed is opened without HDF5.
"""

import errno
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from cache import files
from cache.atomic import write_atomically
from cache.errors import StoreError
from cache.keys import KEY_BYTES
from cache.memo import recall, remember, stamp_of
from cache.ragged import Ragged
from cache.recipe import Recipe

FORMAT = 2
TRAILER = b"headstart shard\n"
TRAILER_BYTES = len(TRAILER) + 16
_OUTPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_LARGEST_ATTRIBUTE = 2**16
_MOST_OUTPUTS = 4096
_FACT = f"shard {FORMAT}"
_NOT_ITS_FAULT = (errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOMEM, errno.ESTALE)


class DamagedShardError(StoreError):
    """A shard's structure or checksums do not hold; its rows count as missing."""


@dataclass(frozen=True)
class Extent:
    """Where an array lies in a file."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


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

    @cached_property
    def outputs(self) -> Mapping[str, int]:
        """Output name -> width."""
        names = (name.removeprefix("outputs/").removesuffix("/values") for name in self.extents if _holds_features(name))
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
    import h5py

    _check_rows(recipe, keys, outputs)
    arrays: dict[str, np.ndarray] = {"keys": keys}
    for name, features in sorted(outputs.items()):
        if isinstance(features, Ragged):
            arrays |= {f"outputs/{name}/offsets": features.offsets, f"outputs/{name}/values": features.values}
        else:
            arrays[f"outputs/{name}"] = features
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    sums = {name: checksum(array) for name, array in arrays.items()}
    # Built in memory and written by one plain write: HDF5 never has the disk fail under it.
    with h5py.File("shard", "w", driver="core", backing_store=False, alignment_threshold=1, alignment_interval=64) as file:
        file.attrs["format"] = FORMAT
        file.attrs["recipe_id"] = recipe.id
        file.attrs["recipe"] = recipe.to_json()
        file.attrs["provenance"] = json.dumps(provenance, sort_keys=True)
        file.attrs["rows"] = len(keys)
        for name, array in arrays.items():
            dataset = file.create_dataset(name, data=array, track_times=False)
            dataset.attrs["xxh3_128"] = sums[name]
        file.flush()
        image = file.id.get_file_image()
    path = folder / f"{_content_hash(FORMAT, recipe.id, sums)}.h5"
    write_atomically(path, image, TRAILER + xxhash.xxh3_128_digest(image))
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
            shard = _from_json(path, answers.get(path))
            if shard is None:
                shard = _check(path, recipe, every_sum=False)
                learnt.append((path, shard.stamp, _to_json(shard)))
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
    remember([(path, shard.stamp, _to_json(shard))], _FACT)
    return shard


def checksum(array: np.ndarray) -> str:
    """Return the XXH3-128 of an array's bytes, in hexadecimal: integrity at memory speed."""
    return xxhash.xxh3_128_hexdigest(array.reshape(-1).view(np.uint8).data)


def _holds_features(name: str) -> bool:
    return name.startswith("outputs/") and not name.endswith("/offsets")


def _check_rows(recipe: Recipe, keys: np.ndarray, outputs: Mapping[str, np.ndarray | Ragged]) -> None:
    if keys.dtype != np.uint8 or keys.ndim != 2 or keys.shape[1] != KEY_BYTES or not len(keys):
        raise ValueError(f"keys must be [n, {KEY_BYTES}] uint8 with n > 0, got {keys.shape} {keys.dtype}")
    if not outputs:
        raise ValueError("a shard needs at least one output")
    for name, features in outputs.items():
        dtype = recipe.dtype_of(name)
        if not _OUTPUT_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for an output")
        values = features.values if isinstance(features, Ragged) else features
        if values.ndim != 2 or len(features) != len(keys) or values.dtype != dtype:
            raise ValueError(f"{name}: expected [{len(keys)}, d] {dtype}, got {features.shape} {values.dtype}")
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            if isinstance(features, Ragged):
                row = int(np.searchsorted(features.offsets, row, side="right")) - 1
            raise ValueError(f"{name}: row {row} (key {keys[row].tobytes().hex()}) is not finite")


def _content_hash(shard_format: int, recipe_id: str, sums: Mapping[str, str]) -> str:
    lines = [str(shard_format), recipe_id, *(f"{name} {sum_}" for name, sum_ in sorted(sums.items()))]
    return xxhash.xxh3_128_hexdigest("\n".join(lines).encode())


def _check(path: Path, recipe: Recipe, every_sum: bool) -> Shard:
    """Find out where a shard's arrays lie, after seeing that it is whole."""
    stamp = ""
    with files.opened(path) as descriptor:
        stamp = stamp_of(descriptor)
        size = int(stamp.partition(":")[0])
        sealed = _is_sealed(path, descriptor, size)
    try:
        shard, sums = _read_structure(path, stamp, size, recipe, sealed)
        if every_sum or not sealed:
            wrong = [name for name in shard.extents if checksum(_read(shard, name)) != sums[name]]
            if wrong:
                raise ValueError(f"checksum of {', '.join(wrong)} does not hold")
        for name in shard.outputs:
            if shard.is_ragged(name):
                Ragged(shard.map_rows(name), np.array(shard.offsets(name)))
    except OSError as error:
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


def _read_structure(path: Path, stamp: str, size: int, recipe: Recipe, sealed: bool) -> tuple[Shard, dict[str, str]]:
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        shard_format = int(_attribute(file, "format"))
        if shard_format not in (1, FORMAT):
            raise ValueError(f"shard format {shard_format} is not known here (this is {FORMAT}); update headstart")
        if sealed != (shard_format > 1):
            raise ValueError("the checksum at its end is missing")
        if _attribute(file, "recipe_id") != recipe.id:
            raise ValueError("belongs to another recipe")
        rows = int(_attribute(file, "rows"))
        datasets = _find_datasets(file, ragged=shard_format > 1)
        sums = {name: str(_attribute(dataset, "xxh3_128")) for name, dataset in datasets.items()}
        if f"{_content_hash(shard_format, recipe.id, sums)}.h5" != path.name:
            raise ValueError("its name is not the hash of its content")
        extents = {name: _locate(dataset, size) for name, dataset in datasets.items()}
    _check_extents(extents, rows, recipe)
    return Shard(path, stamp, rows, extents), sums


def _find_datasets(file: Any, ragged: bool) -> dict[str, Any]:
    import h5py

    outputs = _child(file, "outputs", h5py.Group)
    if len(file) != 2 or not 0 < len(outputs) <= _MOST_OUTPUTS:
        raise ValueError("holds something else than `keys` and `outputs`")
    datasets = {"keys": _child(file, "keys", h5py.Dataset)}
    for name in outputs:
        if not _OUTPUT_NAME.fullmatch(name):
            raise ValueError(f"{name[:100]!r} is no name for an output")
        if ragged and isinstance(outputs.get(name, getlink=True), h5py.HardLink) and isinstance(outputs[name], h5py.Group):
            for part in ("offsets", "values"):
                datasets[f"outputs/{name}/{part}"] = _child(outputs[name], part, h5py.Dataset)
        else:
            datasets[f"outputs/{name}"] = _child(outputs, name, h5py.Dataset)
    return datasets


def _child(group: Any, name: str, kind: type) -> Any:
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is missing or links elsewhere")
    child = group[name]
    if not isinstance(child, kind):
        raise ValueError(f"{name} is not a {kind.__name__.lower()}")
    return child


def _attribute(owner: Any, name: str) -> Any:
    import h5py

    attribute = h5py.h5a.open(owner.id, name.encode())
    if attribute.shape != () or attribute.get_storage_size() > _LARGEST_ATTRIBUTE:
        raise ValueError(f"attribute {name} is not a single value")
    if attribute.dtype.kind not in "iuSO" or (attribute.dtype.hasobject and h5py.check_string_dtype(attribute.dtype) is None):
        raise ValueError(f"attribute {name} is neither a number nor a text")
    return owner.attrs[name]


def _locate(dataset: Any, size: int) -> Extent:
    import h5py

    layout = dataset.id.get_create_plist()
    if layout.get_layout() != h5py.h5d.CONTIGUOUS or layout.get_external_count() or layout.get_nfilters():
        raise ValueError(f"{dataset.name} is not stored contiguously in this file")
    if dataset.dtype.kind not in "fui" or dataset.dtype.subdtype is not None:
        raise ValueError(f"{dataset.name} is not of numbers but {dataset.dtype}")
    offset, shape = dataset.id.get_offset(), tuple(map(int, dataset.shape))
    length = dataset.dtype.itemsize * int(np.prod(shape, dtype=object))
    if length and (offset is None or offset + length > size):
        raise ValueError(f"{dataset.name} reaches past the end of the file")
    return Extent(int(offset or 0), shape, dataset.dtype.str)


def _check_extents(extents: Mapping[str, Extent], rows: int, recipe: Recipe) -> None:
    if rows < 1:
        raise ValueError("has no rows")
    for name, extent in extents.items():
        if not _fits(name, extent, rows, recipe):
            raise ValueError(f"{name} is {extent.shape} {np.dtype(extent.dtype)}, which does not fit the {rows} rows")


def _fits(name: str, extent: Extent, rows: int, recipe: Recipe) -> bool:
    dtype = np.dtype(extent.dtype)
    if name == "keys":
        return dtype == np.uint8 and extent.shape == (rows, KEY_BYTES)
    if name.endswith("/offsets"):
        return dtype == np.int64 and extent.shape == (rows + 1,)
    output = name.split("/")[1]
    return dtype == recipe.dtype_of(output) and len(extent.shape) == 2 and (name.endswith("/values") or extent.shape[0] == rows)


def _read(shard: Shard, name: str) -> np.ndarray:
    extent = shard.extents[name]
    array = np.empty(extent.shape, extent.dtype)
    files.read_into(shard.path, shard.stamp, extent.offset, array)
    return array


def _to_json(shard: Shard) -> str:
    extents = {name: (extent.offset, extent.shape, extent.dtype) for name, extent in shard.extents.items()}
    return json.dumps({"stamp": shard.stamp, "rows": shard.rows, "extents": extents})


def _from_json(path: Path, answer: str | None) -> Shard | None:
    if answer is None:
        return None
    content = json.loads(answer)
    extents = {name: Extent(offset, tuple(shape), dtype) for name, (offset, shape, dtype) in content["extents"].items()}
    return Shard(path, content["stamp"], content["rows"], extents)
