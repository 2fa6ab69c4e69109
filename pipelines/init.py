"""A first config, written by looking at the data, with the reason why each column is taken for what it is."""

import dataclasses
import json
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from extract import Columns, load_samples, stream_samples
from extract.backbones.catalog import list_backbones
from extract.remote import expand, is_url
from extract.sources.columns import DECIMAL_COMMA, SPLITS, split_labels
from extract.sources.streams import always_streams
from pipelines.errors import UsageError
from pipelines.first_look import TEXTS, encoding_of, read_head
from pipelines.guess import Guess, guess_columns
from pipelines.names import spelled_alike


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
    told = encoding if encoding is not None or streams or data.suffix not in TEXTS else encoding_of(data)
    head = {} if data.is_dir() else read_head(Path(expand(name)[0]) if streams else data, told or "utf-8")
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
