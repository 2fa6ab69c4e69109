"""A first config, written by looking at the data: which column is what, and why it is thought so."""

import codecs
import dataclasses
import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from extract import Columns, load_samples, stream_samples
from extract.backbones.catalog import list_backbones
from extract.images import ENDINGS
from extract.remote import expand, is_url
from extract.sources.columns import DECIMAL_COMMA, SPLITS, split_labels, split_named
from extract.sources.streams import always_streams
from extract.sources.tabular import read_csv, read_jsonl
from pipelines.errors import UsageError
from pipelines.names import spelled_alike

ROWS = 20_000
"""So many rows at the beginning of a table are looked at."""

NAMES = {
    "text": (
        "text",
        "sentence",
        "content",
        "review",
        "body",
        "comment",
        "document",
        "description",
        "message",
        "title",
        "question",
    ),
    "label": ("label", "labels", "class", "category", "target", "sentiment", "y", "topic", "intent", "tag", "rating", "score"),
    "group": ("group", "document_id", "doc_id", "author", "user", "user_id", "patient", "patient_id", "subject", "speaker"),
    "id": ("id", "uid", "uuid", "index", "key", "row_id"),
}
PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question", "answer"),
    ("text_a", "text_b"),
    ("query", "passage"),
)
_TEXTS = (".csv", ".tsv", ".jsonl", ".ndjson")
SEPARATORS = (";", "|", ",")
MOST_CLASSES = 1_000
MOSTLY = 0.95
"""Share of a column's values that are numbers where it is one of numbers."""


@dataclass(frozen=True)
class Guess:
    """What a table's columns are taken for; `why` has a line for every one of them.

    `multilabel` is as in a config: True where labels are lists, or what stands between them in a text. `flags` are the columns
    of 0 and 1, the label among them, where there are several: each might be a label of its own. `odd_split` is a column with
    names of splits and one that is none, and that name. `odd_numbers` are values of the label that training takes for none.
    """

    columns: Columns
    regression: bool = False
    multilabel: bool | str = False
    flags: tuple[str, ...] = ()
    odd_split: tuple[str, str] | None = None
    odd_numbers: tuple[str, ...] = ()
    why: dict[str, str] = dataclasses.field(default_factory=dict)


def write_config(
    data: Path | str,
    to: Path | None,
    text: str | None,
    label: str | None,
    image: str | None,
    overwrite: bool = False,
    encoding: str | None = None,
) -> dict[str, Any]:
    """Write a commented config for some data; return where it is and what was found.

    Parameters
    ----------
    data
        A table or a folder; or a pattern or URL of Parquet files, of which the beginning is looked at.
    to
        The config's file; by default the data's name with `.yaml`, in the working directory.
    text, label, image
        Columns that the user names, instead of looking for them.
    overwrite
        Whether a file that is there may be replaced.
    encoding
        Of a table; by default UTF-8, or if it is something else, UTF-16 where it begins as that does, or Windows' own.

    Raises
    ------
    UsageError
        If the file exists already, or it cannot be told which column is the sample.
    SourceError
        If the data cannot be read.
    """
    name, streams = str(data), always_streams(str(data))
    if streams and (is_url(name) or not name.endswith(".parquet")):
        raise UsageError(
            f"{name}: `init` looks at Parquet files by pattern, a table or a folder, all of this machine; docs/large-data.md "
            "shows the config for others that are read a slice at a time"
        )
    data = Path(data)
    to = to or Path(f"{_title(data)}.yaml")
    told = encoding if encoding is not None or streams or data.suffix not in _TEXTS else _encoding_of(data)
    head = {} if data.is_dir() else _read_head(Path(expand(name)[0]) if streams else data, told or "utf-8")
    if not data.is_dir() and not any(head.values()):
        raise UsageError(f"{data}: has no rows; there is nothing to look at")
    if to.exists() and not overwrite:
        raise UsageError(f"{to}: exists already; --force replaces it, and --output names another file")
    guess = Guess(Columns()) if data.is_dir() else guess_columns(head, name, text, label, image)
    samples = (
        next(iter(stream_samples(name, guess.columns)))
        if streams
        else load_samples(data, guess.columns, encoding=told or "utf-8")
    )
    kind = samples.kind or "text"
    count = len(samples)
    labels = [name for name in samples.labels or () if name is not None]
    between = guess.multilabel if isinstance(guess.multilabel, str) else None
    parts = [part for name in labels for part in split_labels(name, between)] if guess.multilabel else labels
    classes = sorted(set(parts) - {""})
    content = _compose(data, to, guess, kind, count, classes, samples.splits, told)
    to.write_text(content, encoding="utf-8")
    named = {name: value for name, value in dataclasses.asdict(guess.columns).items() if value is not None}
    task = "regression" if guess.regression else "multilabel" if guess.multilabel else "classification"
    return {
        "config": str(to),
        "samples": count,
        "takes": kind,
        "columns": named,
        "task": task,
        "classes": len(classes),
        "streams": streams,
        "encoding": told,
        "notes": _notes(guess, classes, told, encoding is None),
    }


def _notes(guess: Guess, classes: Sequence[str], encoding: str | None, guessed: bool) -> list[str]:
    """Return what the user should look at."""
    notes = []
    if encoding is not None and guessed:
        notes.append(f"not UTF-8, so taken for {encoding}: see that letters with accents come out right, or say --encoding")
    if guess.odd_numbers:
        odd, comma = guess.odd_numbers[0], DECIMAL_COMMA.fullmatch(guess.odd_numbers[0])
        way = "write decimals with a point" if comma else "leave such a cell empty"
        notes.append(f"`{guess.columns.label}` has `{odd[:40]}`, which training takes for no number: {way}")
    if (alike := None if guess.regression else spelled_alike(classes)) is not None:
        notes.append(alike)
    if guess.odd_split is not None:
        notes.append(_odd_split(*guess.odd_split))
    return notes


def _odd_split(column: str, name: str) -> str:
    return f"`{column}` looks like a split, but `{name}` is none; splits are {', '.join(SPLITS)}"


def guess_columns(
    table: dict[str, list[Any]], name: str, text: str | None = None, label: str | None = None, image: str | None = None
) -> Guess:
    """Tell which of a table's columns is what, by names and values; what the caller names is taken as it is.

    Raises
    ------
    UsageError
        If there is no column that could be a text or an image, or one that was named is not there.
    """
    listed = ", ".join(table)
    for asked, value in (("--text", text), ("--label", label), ("--image", image)):
        if value is not None and value not in table:
            raise UsageError(f"{name}: there is no column `{value}` ({asked}); columns are {listed}")
    why: dict[str, str] = {}
    left = {column: [value for value in values if not _is_blank(value)] for column, values in table.items()}
    left = {column: values for column, values in left.items() if values}

    def take(role: str, column: str | None, reason: str) -> str | None:
        if column is not None:
            left.pop(column, None)
            why[role] = reason
        return column

    split = take("split", next((c for c, v in left.items() if _is_split(v)), None), "its values are names of splits")
    odd_split = None if split is not None else next((odd for c, v in left.items() if (odd := _near_split(c, v))), None)
    if odd_split is not None and odd_split[0] != label:
        left.pop(odd_split[0])
    if label is not None:
        left.pop(label, None)
    if image is None and text is None:
        image = next((c for c, v in left.items() if _is_image(v)), None)
    take("image", image, "holds image files or paths of them")
    pair = None
    if image is None and text is None:
        lower = {column.lower(): column for column in left}
        both = next(((lower[a], lower[b]) for a, b in PAIRS if a in lower and b in lower), None)
        text, pair = both or (_longest(left), None)
    if text is None and image is None:
        raise UsageError(
            f"{name}: no column looks like a text or an image; name one with --text or --image. Columns are {listed}"
        )
    rows = len(next(iter(table.values()), ()))
    take("text", text, f"{_mean_length(table[text]):,.0f} characters on average" if text else "")
    take("pair", pair, "goes with the other text by its name")
    identity = take("id", _named(left, NAMES["id"], lambda v: len(set(map(str, v))) == rows), "a different value in every row")
    group = take("group", _named(left, NAMES["group"], lambda v: 1 < len(set(map(str, v))) < rows), "by its name")
    if label is None:
        label = _named(left, NAMES["label"], _may_be_label) or _fewest(left) or _measured(left)
    if label is None:
        label = _named(left, NAMES["label"], lambda values: len(set(map(str, values))) == 1)
    columns = Columns(text, label, split, group, identity, image, pair)
    if label is None:
        return Guess(columns, odd_split=odd_split, why=why)
    values = [value for value in table[label] if not _is_blank(value)]
    lists = any(isinstance(value, list) for value in values)
    regression = not lists and _is_number(values)
    multilabel = lists or (not regression and next((s for s in SEPARATORS if _is_several(values, s)), False))
    numbers = [number for value in values if (number := _number(value)) is not None] if regression else []
    odd_numbers = [str(value) for value in values if regression and not _is_read_as_number(value)]
    different = len(set(map(str, values)))
    why["label"] = (
        f"{different:,} different numbers from {min(numbers):g} to {max(numbers):g}" if regression
        else "lists of names" if lists
        else f"several names a row, with `{multilabel}` between them" if multilabel
        else f"{different:,} different values"
    )  # fmt: skip
    flags = tuple(column for column in table if (column == label or column in left) and _is_flag(table[column]))
    flags = flags if label in flags and len(flags) > 1 else ()
    return Guess(columns, regression, multilabel, flags, odd_split, tuple(odd_numbers), why)


def _read_head(data: Path, encoding: str) -> dict[str, list[Any]]:
    """Return the first rows of a table, column by column, without those that cannot be read."""
    import pyarrow.parquet as pq

    try:
        if data.suffix in _TEXTS:
            rows = (read_csv if data.suffix in (".csv", ".tsv") else read_jsonl)(data, encoding, ROWS)
            return {
                name: [value for row, value in enumerate(values) if row not in rows.faults]
                for name, values in rows.table.items()
            }
        if data.suffix != ".parquet":
            raise UsageError(f"{data}: give a .csv, .tsv, .jsonl or .parquet file, or a folder of images or texts by class")
        batch = next(pq.ParquetFile(data).iter_batches(ROWS), None)
    except FileNotFoundError as error:
        raise UsageError(f"{data}: there is no such file or folder") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{data}: cannot be read: {' '.join(str(error).split())}") from error
    return {} if batch is None else {str(name): batch[name].to_pylist() for name in batch.schema.names}


def _encoding_of(data: Path) -> str | None:
    """Return the encoding that a file seems to have, or None if it is UTF-8, but for a bad line here and there."""
    others = proper = 0
    try:
        with open(data, "rb") as file:
            for line in file:
                if not (others or proper) and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    return "utf-16"
                if not line.isascii():
                    proper += (valid := _is_utf_8(line))
                    others += not valid
    except OSError:
        return None  # which reading it will tell
    return "cp1252" if others > proper else None


def _is_utf_8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _near_split(column: str, values: Sequence[Any]) -> tuple[str, str] | None:
    """Return a column with names of several splits, training among them, and the name in it that is none."""
    if column.lower() in NAMES["label"]:
        return None
    names = list(dict.fromkeys(map(str, values))) if isinstance(values[0], str) else []
    odd = [name for name in names if split_named(name) is None]
    known = {split_named(name) for name in names} - {None}
    return (column, odd[0]) if "train" in known and len(known) > 1 and len(odd) == 1 and len(names) <= 5 else None


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _is_split(values: Sequence[Any]) -> bool:
    names = {str(value) for value in values}
    return len(names) > 1 and all(split_named(name) is not None for name in names)


def _is_image(values: Sequence[Any]) -> bool:
    first = values[:100]
    return all(
        isinstance(value, bytes)
        or (isinstance(value, dict) and {"bytes", "path"} & set(value))
        or (isinstance(value, str) and value.lower().endswith(ENDINGS))
        for value in first
    )


def _longest(columns: dict[str, list[Any]]) -> str | None:
    """Return the column most like prose: one with a well-known name, or else that of the longest texts."""
    texts = {column: values for column, values in columns.items() if all(isinstance(value, str) for value in values[:100])}
    prose = {
        column: values for column, values in texts.items() if not _is_number(values) and len(set(values)) > len(values) / 10
    }
    return _named(prose, NAMES["text"], lambda _: True) or max(prose, key=lambda c: _mean_length(prose[c]), default=None)


def _mean_length(values: Sequence[Any]) -> float:
    return sum(len(str(value or "")) for value in values) / max(1, len(values))


def _named(columns: dict[str, list[Any]], names: Sequence[str], fits: Callable[[list[Any]], bool]) -> str | None:
    lower = {column.lower(): column for column in columns}
    return next((lower[name] for name in names if name in lower and fits(columns[lower[name]])), None)


def _may_be_label(values: Sequence[Any]) -> bool:
    if any(isinstance(value, list) for value in values):
        names = {str(name) for value in values if isinstance(value, list) for name in value}
        return 1 < len(names) <= min(MOST_CLASSES, len(values))
    different = len({str(value) for value in values})
    return different > 1 and (_is_number(values) or different <= min(MOST_CLASSES, len(values) / 2))


def _fewest(columns: dict[str, list[Any]]) -> str | None:
    """Return the column with the fewest different values, if they repeat enough to be classes."""
    counts = {column: len({str(value) for value in values}) for column, values in columns.items()}
    fitting = {c: n for c, n in counts.items() if 1 < n <= min(MOST_CLASSES, len(columns[c]) / 5)}
    return min(fitting, key=lambda column: fitting[column], default=None)


def _measured(columns: dict[str, list[Any]]) -> str | None:
    """Return the column of measured numbers with fractions, if there is one alone."""
    found = [
        column
        for column, values in columns.items()
        if _is_number(values) and not all((number := _number(v)) is None or number.is_integer() for v in values)
    ]
    return found[0] if len(found) == 1 else None


def _is_number(values: Sequence[Any]) -> bool:
    """Tell whether values are measured numbers, and not the numbers of a few classes; a few may be no numbers."""
    numbers = [number for value in values if (number := _number(value)) is not None]
    whole = all(number.is_integer() for number in numbers)
    return len(numbers) >= MOSTLY * len(values) and len(set(numbers)) > (50 if whole else 10)


def _number(value: Any) -> float | None:
    """Return a number, which may be written with a decimal comma; None where it is none."""
    if isinstance(value, bool):
        return None
    try:
        return float(value.replace(",", ".") if isinstance(value, str) and DECIMAL_COMMA.fullmatch(value) else value)
    except (TypeError, ValueError):
        return None


def _is_read_as_number(value: Any) -> bool:
    return _number(value) is not None and not (isinstance(value, str) and DECIMAL_COMMA.fullmatch(value))


def _is_flag(values: Sequence[Any]) -> bool:
    """Tell whether values are 0 and 1, both of them and in every row."""
    return {str(value) for value in values} == {"0", "1"}


def _is_several(values: Sequence[Any], separator: str) -> bool:
    texts = [value for value in values if isinstance(value, str)]
    parts = [[part.strip() for part in text.split(separator)] for text in texts]
    names = {part for row in parts for part in row}
    return sum(len(row) > 1 for row in parts) > len(texts) / 20 and len(names) <= min(len(set(texts)), MOST_CLASSES)


def _compose(
    data: Path,
    to: Path,
    guess: Guess,
    kind: str,
    count: int,
    classes: Sequence[str],
    splits: Sequence[str | None] | None,
    encoding: str | None,
) -> str:
    columns, why, streams = guess.columns, guess.why, always_streams(str(data))
    lines = [
        f"# Written by `headstart init {shlex.quote(str(data))}` after a look at its {'first ' * streams}{count:,} samples.",
        "# Change what was misunderstood, then:",
        f"#   headstart train {to}",
        f"name: {_quote(_slug(_title(data)))}",
        "data:",
        f"  path: {_quote(os.path.relpath(data, to.parent))}" + "  # read a slice at a time: docs/large-data.md" * streams,
    ]
    if encoding is not None:
        lines.append(f"  encoding: {_quote(encoding)}")
    for role in ("text", "pair", "image", "label", "split", "group", "id"):
        value = getattr(columns, role)
        if value is not None:
            lines.append(f"  {role}: {_quote(value)}" + (f"  # {why[role]}" if role in why else ""))
    if guess.multilabel is True:
        lines.append("  multilabel: true  # the labels are lists")
    elif guess.multilabel:
        lines.append(f"  multilabel: {_quote(guess.multilabel)}  # stands between a sample's labels")
    if guess.flags:
        lines.append(f"  # or several labels: label: [{', '.join(map(_quote, guess.flags))}]")
    if columns.label is None and not data.is_dir():
        lines.append("  # label: ...  # no column looks like one; `headstart train` needs it, `headstart extract` does not")
    if data.is_dir() and classes:
        lines.append(f"  # the folders are the classes: {', '.join(classes[:5])}{' ...' if len(classes) > 5 else ''}")
    if guess.odd_split is not None:
        lines.append(f"  # split: {_quote(guess.odd_split[0])}  # {_odd_split(*guess.odd_split)}")
    if splits is None:
        lines.append("  # test_size: 0.2  # no column of splits: a fifth is held out as test")
    if columns.group is None and not data.is_dir():
        lines.append("  # group: ...  # a column of what must not be on both sides of a split, such as author or document")
    if guess.regression:
        lines.append("task: regression  # the labels are measured numbers; to have each one be a class: classification")
    text = kind == "text"
    here = {entry.name for entry in list_backbones() if entry.here}
    named = "all-MiniLM-L6-v2" if text else "efficientnet-lite0" if "efficientnet-lite0" in here else "resnet50"
    others = "all-mpnet-base-v2 or hf:BAAI/bge-small-en-v1.5" if text else "dinov2-small or timm:convnext_tiny.in12k"
    lines += [
        f"# several backbones are tried beside each other; `headstart backbones` lists them, such as {others}",
        f"backbones: [{named}]",
        "# heads:  # by default linear heads on the usual output and on all layers"
        if text and not always_streams(str(data))
        else "# heads:  # by default linear heads",
        "#   - {kind: linear, C: {log: [1e-2, 1e2, 9]}}" if not guess.regression else "#   - {kind: ridge}",
        "#   - {kind: mlp, hidden: [[256], [512]], lr: [1e-3, 3e-4]}",
        "# selection: {folds: 5, seed: 0}  # metric: which one decides",
        "",
    ]
    return "\n".join(lines)


def _title(data: Path) -> str:
    """Return the name of a file or folder, or of the folder of files named by a pattern."""
    return data.parent.absolute().name if always_streams(str(data)) else data.stem


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "experiment"


def _quote(value: str) -> str:
    """Write a text as YAML: plain where that is safe."""
    plain = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./ -]*", value) and yaml.safe_load(value) == value
    return value if plain else json.dumps(value, ensure_ascii=False)
