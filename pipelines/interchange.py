"""Features to and from other tools: Parquet, npy, Hugging Face `datasets`, the TensorBoard projector."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cache import FeatureStore, Ragged
from extract import Features, Samples, import_features
from pipelines.config import Config
from pipelines.errors import UsageError
from pipelines.extract import extract_config, load_data
from pipelines.given import show

PROJECTOR_ROWS = 100_000
"""More points than these the projector cannot show."""


def export_features(
    config: Config, to: Path, kind: str, output: str | None, store: str | None, progress: Any
) -> dict[str, Any]:
    """Write the features of a config's samples into a new folder, with what is known of each sample beside them.

    Parameters
    ----------
    config, store
        The experiment, and the store to use instead of its own.
    to
        A folder that is not there yet.
    kind
        `parquet` (a file a backbone: `id`, `input`, `label`, `split`, `group`, and a list column an output; what Embedding
        Atlas and data frames read), `npy` (a file an output, and `samples.parquet`), `datasets` (a `Dataset` on disk a
        backbone), or `projector` (`<output>.tsv` an output, `metadata.tsv`, and a `projector_config.pbtxt`).
    output
        Only this output.

    Returns
    -------
    dict
        `folder`, `files`, `samples`.

    Raises
    ------
    UsageError
        If the folder exists, or there is no such output.
    """
    if to.exists():
        raise UsageError(f"{to}: exists already; name a folder that is not there yet")
    extraction = extract_config(config, store, progress=progress)
    building = to.parent / f".{to.name}.building-{os.getpid()}"
    try:
        building.mkdir(parents=True)
        for number, features in enumerate(extraction.features):
            outputs = _chosen(features, output)
            name = features.recipe.backbone.rpartition(":")[2].replace("/", "--") + (f"-{number}" if number else "")
            _WRITERS[kind](building, name, extraction.samples, features, outputs)
        building.rename(to)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    files = sorted(str(file.relative_to(to)) for file in to.rglob("*") if file.is_file())
    return {"folder": str(to), "files": files, "samples": len(extraction.features[0].rows)}


def _chosen(features: Features, output: str | None) -> tuple[str, ...]:
    if output is None:
        return features.outputs
    if output not in features.outputs:
        raise UsageError(f"{features.recipe.backbone} has no output `{output}` here; outputs are {', '.join(features.outputs)}")
    return (output,)


def _known(samples: Samples, rows: np.ndarray) -> dict[str, list[Any]]:
    """Return what is known of some samples, a column each."""
    places = rows.tolist()
    known: dict[str, list[Any]] = {
        "id": [samples.ids[row] for row in places],
        "input": [_text(show(samples.inputs[row], samples.ids[row])) for row in places],
    }
    for name, column in (("label", samples.labels), ("split", samples.splits), ("group", samples.groups)):
        if column is not None:
            known[name] = [column[row] for row in places]
    return known


def _text(value: Any) -> str:
    return " / ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _arrow_table(samples: Samples, features: Features, outputs: Sequence[str]) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = dict(_known(samples, features.rows))
    for name in outputs:
        array = features.array(name)
        if isinstance(array, Ragged):
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(array.values.reshape(-1)), array.values.shape[1])
            columns[name] = pa.LargeListArray.from_arrays(pa.array(array.offsets), vectors)
        else:
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(array).reshape(-1)), array.shape[1])
    return pa.table(columns)


def _write_parquet(folder: Path, name: str, samples: Samples, features: Features, outputs: Sequence[str]) -> None:
    import pyarrow.parquet as pq

    pq.write_table(_arrow_table(samples, features, outputs), folder / f"{name}.parquet")


def _write_datasets(folder: Path, name: str, samples: Samples, features: Features, outputs: Sequence[str]) -> None:
    from datasets import Dataset

    Dataset(_arrow_table(samples, features, outputs)).save_to_disk(str(folder / name))


def _write_npy(folder: Path, name: str, samples: Samples, features: Features, outputs: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = folder / name
    place.mkdir()
    pq.write_table(pa.table(_known(samples, features.rows)), place / "samples.parquet")
    for output in outputs:
        array = features.array(output)
        if isinstance(array, Ragged):
            np.save(place / f"{output}.values.npy", array.values)
            np.save(place / f"{output}.offsets.npy", array.offsets)
        else:
            np.save(place / f"{output}.npy", array)


def _write_projector(folder: Path, name: str, samples: Samples, features: Features, outputs: Sequence[str]) -> None:
    place = folder / name
    place.mkdir()
    known = _known(samples, features.rows[:PROJECTOR_ROWS])
    rows = zip(*([" ".join(str(value or "").split())[:200] for value in column] for column in known.values()), strict=True)
    (place / "metadata.tsv").write_text(
        "\n".join("\t".join(row) for row in [tuple(known), *rows]) + "\n", encoding="utf-8", errors="replace"
    )
    entries = []
    for output in outputs:
        array = features.array(output)
        if isinstance(array, np.ndarray):
            np.savetxt(place / f"{output}.tsv", array[:PROJECTOR_ROWS], fmt="%.6g", delimiter="\t")
            lines = (f'tensor_name: "{output}"', f'tensor_path: "{output}.tsv"', 'metadata_path: "metadata.tsv"')
            entries.append("embeddings {\n" + "".join(f"  {line}\n" for line in lines) + "}\n")
    if not entries:
        raise UsageError("tokens cannot be shown by the projector; name another --output")
    (place / "projector_config.pbtxt").write_text("".join(entries), encoding="utf-8")


_WRITERS: dict[str, Callable[[Path, str, Samples, Features, Sequence[str]], None]] = {
    "parquet": _write_parquet,
    "npy": _write_npy,
    "datasets": _write_datasets,
    "projector": _write_projector,
}
KINDS = tuple(_WRITERS)


def import_from_file(config: Config, file: Path, name: str, column: str | None, store: str | None) -> dict[str, Any]:
    """Take features of a config's samples from a file into the store, under a recipe of their own.

    Parameters
    ----------
    config, store
        Whose samples they are of, and the store to use instead of the config's.
    file
        `.npy` `[n, d]` or Parquet with a column of lists: a row for every sample, in the data's order; a Parquet file with a
        column `id` may have them in any order.
    name
        What the features are called.
    column
        The column of a Parquet file; where it has just one column of lists, that one.

    Returns
    -------
    dict
        `backbone`, to be named in a config; `recipe`, `samples`, `width`, `skipped`.

    Raises
    ------
    UsageError
        If the file cannot be read so.
    SourceError
        If it does not fit the samples.
    """
    samples = load_data(config.data)
    array = _read_parquet(file, column, samples) if file.suffix == ".parquet" else _read_npy(file)
    uri, features = import_features(samples, array, name, FeatureStore(store or config.store))
    return {
        "backbone": uri,
        "recipe": features.recipe.id,
        "samples": len(features.rows),
        "width": int(array.shape[1]),
        "skipped": [{"id": skipped.id, "reason": skipped.reason} for skipped in features.skipped],
    }


def _read_npy(file: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{file}: cannot be read as .npy or .parquet: {error}") from error
    if not isinstance(array, np.ndarray):
        raise UsageError(f"{file}: is an archive of several arrays; save the one of features with numpy.save")
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise UsageError(f"{file}: holds {array.dtype} of shape {list(array.shape)}; numbers of shape [n, d] are expected")
    return array


def _read_parquet(file: Path, column: str | None, samples: Samples) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
        are_lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        lists = [field.name for field in schema if any(is_list(field.type) for is_list in are_lists)]
        if column is None and len(lists) != 1:
            raise UsageError(f"{file}: name the features with --column; columns of lists are {', '.join(lists) or 'none'}")
        column = column or lists[0]
        if column not in lists:
            raise UsageError(f"{file}: `{column}` is no column of lists; these are {', '.join(lists) or 'none'}")
        table = pq.read_table(file, columns=[column, *(["id"] if "id" in schema.names else [])])
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{file}: cannot be read as Parquet: {error}") from error
    cells = table[column].combine_chunks()
    if not (pa.types.is_floating(cells.type.value_type) or pa.types.is_integer(cells.type.value_type)):
        raise UsageError(f"{file}: the lists in `{column}` hold {cells.type.value_type}; numbers are expected")
    widths = set(np.unique(np.asarray(cells.value_lengths().fill_null(0))).tolist())
    if len(widths) != 1 or cells.null_count:
        raise UsageError(f"{file}: the lists in `{column}` have {len(widths)} different lengths; one vector a row is expected")
    array = np.asarray(cells.flatten()).reshape(len(cells), -1)
    if "id" not in table.column_names:
        return array
    place = {str(value): row for row, value in enumerate(table["id"].to_pylist())}
    if len(place) < len(table) or len(set(samples.ids)) < len(samples):
        raise UsageError(f"{file}: an id stands there twice, or in the data; ids must be unique to go by")
    missing = [name for name in samples.ids if name not in place]
    if missing:
        raise UsageError(f"{file}: has no features of {missing[0]} ({len(missing):,} of {len(samples):,} samples are missing)")
    return array[[place[name] for name in samples.ids]]
