"""Shards: immutable HDF5 files of features, and the only place that touches h5py.

A shard holds `keys [n, 16] uint8` and one dataset `outputs/<output> [n, d]` per output, contiguous and unfiltered, so
that readers map it into memory. Attributes carry format, recipe and a checksum per dataset. The file's name is a hash
of its content. The layout is a public format: docs/store-format.md.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash

from cache.atomic import write_atomically
from cache.errors import StoreError
from cache.keys import KEY_BYTES
from cache.memo import remembered
from cache.recipe import Recipe

FORMAT = 1
_OUTPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class DamagedShardError(StoreError):
    """A shard's structure or checksums do not hold; its rows count as missing."""


@dataclass(frozen=True)
class Shard:
    """An open shard: its arrays are read-only memory maps in the data set's order.

    Attributes
    ----------
    path
        The file.
    keys
        `[n, 16]` uint8.
    outputs
        Output name -> `[n, d]` float32 or float16.
    """

    path: Path
    keys: np.ndarray
    outputs: Mapping[str, np.ndarray]


def write_shard(
    folder: Path, recipe: Recipe, keys: np.ndarray, outputs: Mapping[str, np.ndarray], provenance: Mapping[str, Any]
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
        Output name -> `[n, d]` in the recipe's dtype.
    provenance
        What was used but cannot change a value (device, library versions); JSON values.

    Raises
    ------
    ValueError
        If shapes, dtypes or names do not fit, or a feature is not finite.
    StoreError
        If the file cannot be written.
    """
    _check_rows(recipe, keys, outputs)
    arrays = {"keys": keys} | {f"outputs/{name}": array for name, array in sorted(outputs.items())}
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
    path = folder / f"{_content_hash(recipe.id, sums)}.h5"
    write_atomically(path, image)
    remembered(path, "sums", lambda _: "hold")
    return path


def open_shard(path: Path, recipe: Recipe) -> Shard:
    """Map a shard into memory after checking its structure, and its checksums the first time on this machine.

    Raises
    ------
    DamagedShardError
        If the file is not what its name, its attributes and the recipe say.
    """
    try:
        shard, sums = _map(path, recipe)
    except OSError as error:
        raise DamagedShardError(f"{path}: does not open as HDF5: {error}") from error
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DamagedShardError(f"{path}: {error}") from error

    def verify(_: Path) -> str:
        arrays = {"keys": shard.keys} | {f"outputs/{name}": array for name, array in shard.outputs.items()}
        wrong = [name for name, array in arrays.items() if checksum(array) != sums[name]]
        if wrong:
            raise DamagedShardError(f"{path}: checksum of {', '.join(wrong)} does not hold")
        return "hold"

    remembered(path, "sums", verify)
    return shard


def checksum(array: np.ndarray) -> str:
    """Return the XXH3-128 of an array's bytes, in hexadecimal: integrity at memory speed."""
    return xxhash.xxh3_128_hexdigest(array.reshape(-1).view(np.uint8).data)


def _check_rows(recipe: Recipe, keys: np.ndarray, outputs: Mapping[str, np.ndarray]) -> None:
    if keys.dtype != np.uint8 or keys.ndim != 2 or keys.shape[1] != KEY_BYTES or not len(keys):
        raise ValueError(f"keys must be [n, {KEY_BYTES}] uint8 with n > 0, got {keys.shape} {keys.dtype}")
    if not outputs:
        raise ValueError("a shard needs at least one output")
    for name, array in outputs.items():
        if not _OUTPUT_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for an output")
        if array.ndim != 2 or len(array) != len(keys) or array.dtype != recipe.dtype:
            raise ValueError(f"{name}: expected [{len(keys)}, d] {recipe.dtype}, got {array.shape} {array.dtype}")
        finite = np.isfinite(array).all(axis=1)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise ValueError(f"{name}: row {row} (key {keys[row].tobytes().hex()}) is not finite")


def _content_hash(recipe_id: str, sums: Mapping[str, str]) -> str:
    lines = [str(FORMAT), recipe_id, *(f"{name} {sum_}" for name, sum_ in sorted(sums.items()))]
    return xxhash.xxh3_128_hexdigest("\n".join(lines).encode())


def _map(path: Path, recipe: Recipe) -> tuple[Shard, dict[str, str]]:
    with h5py.File(path, "r", locking=False) as file:
        if file.attrs["format"] != FORMAT:
            raise ValueError(f"shard format {file.attrs['format']} is not {FORMAT}")
        if file.attrs["recipe_id"] != recipe.id:
            raise ValueError("belongs to another recipe")
        rows = int(file.attrs["rows"])
        outputs = _child(file, "outputs", h5py.Group)
        datasets = {"keys": _child(file, "keys", h5py.Dataset)}
        datasets |= {f"outputs/{name}": _child(outputs, name, h5py.Dataset) for name in outputs}
        sums = {name: str(dataset.attrs["xxh3_128"]) for name, dataset in datasets.items()}
        if f"{_content_hash(recipe.id, sums)}.h5" != path.name:
            raise ValueError("its name is not the hash of its content")
        arrays = {name: _memory_map(path, dataset, rows) for name, dataset in datasets.items()}
    keys = arrays.pop("keys")
    if keys.dtype != np.uint8 or keys.shape != (rows, KEY_BYTES):
        raise ValueError(f"keys are {keys.shape} {keys.dtype}")
    for name, array in arrays.items():
        if array.ndim != 2 or array.dtype != recipe.dtype:
            raise ValueError(f"{name} is {array.shape} {array.dtype}, not [n, d] {recipe.dtype}")
    return Shard(path, keys, {name.removeprefix("outputs/"): array for name, array in arrays.items()}), sums


def _child(group: h5py.Group, name: str, kind: type) -> Any:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is missing or links elsewhere")
    child = group[name]
    if not isinstance(child, kind):
        raise ValueError(f"{name} is not a {kind.__name__.lower()}")
    return child


def _memory_map(path: Path, dataset: h5py.Dataset, rows: int) -> np.ndarray:
    layout = dataset.id.get_create_plist()
    if layout.get_layout() != h5py.h5d.CONTIGUOUS or layout.get_external_count() or layout.get_nfilters():
        raise ValueError(f"{dataset.name} is not stored contiguously in this file")
    if dataset.dtype.kind not in "fu" or dataset.ndim != 2 or dataset.shape[0] != rows:
        raise ValueError(f"{dataset.name} is {dataset.shape} {dataset.dtype}, and the shard has {rows} rows")
    offset = dataset.id.get_offset()
    if offset is None or offset + dataset.nbytes > path.stat().st_size:
        raise ValueError(f"{dataset.name} reaches past the end of the file")
    return np.memmap(path, dtype=dataset.dtype, mode="r", offset=offset, shape=dataset.shape)
