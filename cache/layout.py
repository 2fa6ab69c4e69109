"""What a shard's file holds, and the only place that touches h5py.

`keys [n, 16] uint8` and per output a dataset `outputs/<output> [n, d]`, or a group of `values [sum, d]` and
`offsets [n + 1]` where samples have several vectors. All are contiguous and unfiltered, so that readers map them into
memory. Attributes carry format, recipe and a checksum per dataset; the file ends in a checksum of itself, and its name is
a hash of its content. The layout is a public format: docs/store-format.md.
"""

import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from cache.directory import Directory, Extent
from cache.keys import KEY_BYTES
from cache.ragged import Ragged
from cache.recipe import Recipe

FORMAT = 2
TRAILER = b"headstart shard\n"
TRAILER_BYTES = len(TRAILER) + 16
_OUTPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_LARGEST_ATTRIBUTE = 2**16
_MOST_OUTPUTS = 4096


def build_file(
    recipe: Recipe, keys: np.ndarray, outputs: Mapping[str, np.ndarray | Ragged], provenance: Mapping[str, Any]
) -> tuple[str, list[bytes], dict[str, Extent]]:
    """Return a shard's file name, its content in parts, and where its arrays lie; raises `ValueError` if rows do not fit."""
    import h5py

    _check_rows(recipe, keys, outputs)
    arrays: dict[str, np.ndarray] = {}
    for name, features in sorted(outputs.items()):
        if isinstance(features, Ragged):
            arrays |= {f"outputs/{name}/offsets": features.offsets, f"outputs/{name}/values": features.values}
        else:
            arrays[f"outputs/{name}"] = features
    arrays["keys"] = keys  # last, so that one read of a far file's end mostly gives the directory and the keys
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    sums = {name: _checksum(array) for name, array in arrays.items()}
    # Built in memory and written by one plain write: HDF5 never has the disk fail under it. Threads may build side by side.
    name = f"shard-{threading.get_ident()}"
    with h5py.File(name, "w", driver="core", backing_store=False, alignment_threshold=1, alignment_interval=64) as file:
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
        extents = {name: _locate(file[name], len(image)) for name in arrays}
    directory = Directory.of(image, len(keys), extents, sums).to_bytes()
    whole = xxhash.xxh3_128(image)
    whole.update(directory)
    return name_of(FORMAT, recipe, sums), [image, directory, TRAILER + whole.digest()], extents


def read_structure(path: Path, size: int, recipe: Recipe, sealed: bool) -> tuple[int, dict[str, Extent], dict[str, str] | None]:
    """Read what a shard's file says of itself, and see that it is what a shard may be.

    Parameters
    ----------
    path, size
        The file and its size in bytes.
    recipe
        The recipe it has to belong to.
    sealed
        Whether it ends in a checksum of itself, and the checksum holds. The first format's do not; of them no attribute is
        read, since HDF5 may never come back from reading a damaged text.

    Returns
    -------
    tuple
        The number of rows; dataset -> where it lies; dataset -> the checksum it is said to have, in hexadecimal, if `sealed`.

    Raises
    ------
    OSError, KeyError, ValueError, TypeError, RuntimeError
        If it is something else: what HDF5 raises, or a `ValueError` that says what is wrong.
    """
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        datasets = _find_datasets(file, ragged=sealed)
        extents = {name: _locate(dataset, size) for name, dataset in datasets.items()}
        sums = None
        if sealed:
            shard_format = int(_attribute(file, "format"))
            if shard_format != FORMAT:
                raise ValueError(f"shard format {shard_format} is not known here (this is {FORMAT}); update headstart")
            if _attribute(file, "recipe_id") != recipe.id:
                raise ValueError("belongs to another recipe")
            sums = {name: str(_attribute(dataset, "xxh3_128")) for name, dataset in datasets.items()}
    rows = extents["keys"].shape[0] if extents["keys"].shape else 0
    _check_extents(extents, rows, recipe)
    return rows, extents, sums


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
    _, output, *part = name.split("/")
    if part == ["offsets"]:
        return dtype == np.int64 and extent.shape == (rows + 1,)
    return dtype == recipe.dtype_of(output) and len(extent.shape) == 2 and (part == ["values"] or extent.shape[0] == rows)


def check_directory(directory: Directory, name: str, recipe: Recipe) -> None:
    """See that a directory is one that a shard of this name may have; raises a `ValueError` that says what is wrong."""
    extents = directory.extents
    if not 1 < len(extents) <= 2 * _MOST_OUTPUTS or extents.keys() != directory.sums.keys() or "keys" not in extents:
        raise ValueError("its directory lacks arrays or their checksums")
    outputs: dict[str, set[str]] = {}
    for array in extents.keys() - {"keys"}:
        root, _, rest = array.partition("/")
        output, _, part = rest.partition("/")
        if root != "outputs" or not _OUTPUT_NAME.fullmatch(output):
            raise ValueError(f"{array[:100]!r} is no array of a shard")
        outputs.setdefault(output, set()).add(part)
    if any(parts not in ({""}, {"offsets", "values"}) for parts in outputs.values()):
        raise ValueError("its directory names half an output")
    for array, extent in extents.items():
        if min(extent.offset, *extent.shape) < 0 or extent.offset + extent.size > directory.length:
            raise ValueError(f"{array} reaches past the end of the file")
    _check_extents(extents, directory.rows, recipe)
    if name_of(FORMAT, recipe, directory.sums) != name:
        raise ValueError("its name is not the hash of its content")


def provenance_of(path: Path) -> Any:
    """Return what a shard says that it was made with, or None."""
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        return json.loads(_attribute(file, "provenance")) if "provenance" in file.attrs else None


def _checksum(array: np.ndarray) -> str:
    return xxhash.xxh3_128_hexdigest(array.reshape(-1).view(np.uint8).data)


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


def name_of(shard_format: int, recipe: Recipe, sums: Mapping[str, str]) -> str:
    """Return the file name of a shard whose datasets have these checksums."""
    lines = [str(shard_format), recipe.id, *(f"{name} {sum_}" for name, sum_ in sorted(sums.items()))]
    return f"{xxhash.xxh3_128_hexdigest(chr(10).join(lines).encode())}.h5"
