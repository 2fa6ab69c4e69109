"""What a user gives `predict`: texts or paths of images as arguments, a file or folder of either, or lines as they come."""

import codecs
import dataclasses
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from extract import Columns, ImageFile, ImageText, Samples, load_samples, stream_samples
from extract.images import ENDINGS
from extract.remote import is_url
from extract.sources.columns import samples_from_columns
from extract.sources.streams import PARQUET, reads_in_slices
from extract.sources.tabular import CSV, JSONL, text_encoding
from pipelines.errors import UsageError

STANDARD_INPUT = Path("-")
_LINES = (".txt", *JSONL)
_BYTES = 1 << 16
_KEYS_TOLD = 10
_NO_CHARACTER = re.compile("[\ud800-\udfff]")


def read_given(
    arguments: Sequence[str], file: Path | str | None, columns: Columns, most: int, encoding: str = "utf-8"
) -> Iterator[Samples]:
    """Read what is to be answered for, a part at a time.

    Parameters
    ----------
    arguments
        Texts; or paths of images and of folders of them, if all of them are such. Where `columns` name a pair, JSON lists of
        two texts.
    file
        Instead of them: a table, an image, a folder of images or texts; what is read a slice at a time, as Parquet files, by
        path, pattern or URL; or lines, in a `.txt` or JSONL file or, as `-`, on standard input: each a text (or an image's
        path) or a JSON object with the columns. Lines are answered for as they come.
    columns
        Which columns of a table matter.
    most
        The most samples in a part.
    encoding
        Of files of texts, and of standard input.

    Raises
    ------
    UsageError
        If there is neither or there are both, or the file cannot be read.
    """
    if arguments and file is not None:
        raise UsageError("give texts or images, or a file of them with --file, and not both")
    if not arguments and file is None:
        raise UsageError("give texts or images to classify, or a file of them with --file")
    file = file if file is None or is_url(str(file)) else Path(file)
    if file == STANDARD_INPUT:
        return _read_lines("stdin", _lines_of(sys.stdin.fileno(), encoding), columns, most, tolerant=True)
    if isinstance(file, Path) and file.suffix in _LINES:
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except OSError as error:
            raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
        return _read_lines(file.name, _lines_of(descriptor, encoding, close=True), columns, most, plain=file.suffix == ".txt")
    if file is not None and reads_in_slices(str(file)):
        return _in_parts(stream_samples(str(file), columns), most)
    samples = _read_arguments(arguments, columns) if file is None else load_samples(file, columns, encoding=encoding)
    return _in_parts([samples], most)


def _in_parts(slices: Iterable[Samples], most: int) -> Iterator[Samples]:
    return (samples.part(start, start + most) for samples in slices for start in range(0, len(samples), most))


def _lines_of(descriptor: int, encoding: str, close: bool = False) -> Iterator[list[str]]:
    """Yield the lines of a file or pipe as they come, as many at a time as there are; never waits for more than one."""
    decoder = codecs.getincrementaldecoder(text_encoding(encoding))("surrogateescape")
    rest = ""
    try:
        while block := os.read(descriptor, _BYTES):
            *lines, rest = (rest + decoder.decode(block)).split("\n")
            if lines:
                yield lines
        if rest := rest + decoder.decode(b"", final=True):
            yield [rest]
    except UnicodeError as error:
        raise UsageError(f"not readable as {encoding}: {error}; name the encoding with --encoding") from error
    finally:
        if close:
            os.close(descriptor)


def _read_lines(
    name: str, blocks: Iterable[Sequence[str]], columns: Columns, most: int, plain: bool = False, tolerant: bool = False
) -> Iterator[Samples]:
    """Make samples of lines; where `plain`, a line is a text even if it looks like JSON.

    That the first objects have no such column at all is an error, unless `tolerant`: then it is a fault of each of them.
    """
    number, named = 1, tolerant
    for block in blocks:
        lines = list(enumerate(block, number))
        number += len(lines)
        for is_record, group in itertools.groupby(lines, lambda line: not plain and line[1].lstrip().startswith("{")):
            chosen = list(group)
            for start in range(0, len(chosen), most):
                part = chosen[start : start + most]
                places = [f"{name}:{at}" for at, _ in part]
                if is_record:
                    yield _records([line for _, line in part], places, columns, name, named)
                    named = True
                else:
                    texts = [line.rstrip("\r") for _, line in part]
                    inputs = texts if plain else [_text_or_pair(text, columns) for text in texts]
                    yield dataclasses.replace(Samples.of(inputs, name), ids=places)


def _records(lines: Sequence[str], places: Sequence[str], columns: Columns, name: str, named: bool) -> Samples:
    """Make samples of lines of JSON; unless `named`, one of them must have the column."""
    records: list[dict[str, Any]] = []
    faults: dict[int, str] = {}
    for row, line in enumerate(lines):
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            told = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
            faults[row] = f"not a JSON object: {told}"
            records.append({})
    columns = dataclasses.replace(columns, label=None, split=None, group=None)
    names = dict.fromkeys(key for record in records for key in record)
    settled = columns.among(names)
    if named or not names:
        columns = settled
        names |= dict.fromkeys(columns.names)
    for row, record in enumerate(records):
        for column in (settled.image, settled.text, settled.pair):
            if column is not None and record.get(column) is None:
                faults.setdefault(row, _absent(column, record))
    table = {key: [record.get(key) for record in records] for key in names}
    return samples_from_columns(name, table, columns, places, faults)


def _absent(column: str, record: dict[str, Any]) -> str:
    """Say of an object that it has nothing where a sample is looked for, and what it has."""
    if column in record:
        return f"`{column}` is null"
    found = [f"`{key}`" for key in record]
    more = f" and {len(found) - _KEYS_TOLD} more" if len(found) > _KEYS_TOLD else ""
    return f"no key `{column}`; " + (f"its keys are {', '.join(found[:_KEYS_TOLD])}{more}" if found else "it has no keys")


def show(sample: Any, place: str) -> Any:
    """Return a sample as it is told in an answer: a text, a pair, an image's path, or else its place.

    What is not Unicode in a text is U+FFFD there.
    """
    if isinstance(sample, str):
        return _NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", sample)
    if isinstance(sample, tuple | list):
        return type(sample)(show(part, place) for part in sample)
    if isinstance(sample, ImageText):
        return (show(sample.image, place), show(sample.text, place))
    if isinstance(sample, ImageFile):
        return sample.path
    return sample if sample is None or isinstance(sample, int | float) else place


def _read_arguments(arguments: Sequence[str], columns: Columns) -> Samples:
    images = list(map(_leads_to_images, arguments))
    if not all(images):
        odd = arguments[images.index(False)]
        if any(images) and (columns.text is None or odd.lower().endswith(ENDINGS)):
            raise UsageError(f"{odd[:200]}: there is no such image and no such folder")
        if table := next((argument for argument in arguments if _names_a_table(argument)), None):
            raise UsageError(f"{table}: is the name of a file, and arguments are texts; give it with --file")
        return Samples.of([_text_or_pair(argument, columns) for argument in arguments], "command line")
    parts = [load_samples(argument) for argument in arguments]
    inputs = [sample for part in parts for sample in part.inputs]
    return dataclasses.replace(Samples.of(inputs, "command line"), ids=[id_ for part in parts for id_ in part.ids])


def _text_or_pair(text: str, columns: Columns) -> str | tuple[str, str]:
    """Return a text as it is; where pairs are looked for, one that is a JSON list of two texts is a pair."""
    if columns.pair is None or not text.lstrip().startswith("["):
        return text
    try:
        match json.loads(text):
            case [str(first), str(second)]:
                return first, second
    except (ValueError, RecursionError):
        pass
    return text


def _names_a_table(argument: str) -> bool:
    """Tell whether an argument is the name of a file of texts, whether there is one or not."""
    return len(argument.split()) == 1 and Path(argument).suffix.lower() in (*_LINES, *CSV, *PARQUET)


def _leads_to_images(argument: str) -> bool:
    if not argument or len(argument) > 4096:  # a text, which the system might refuse to look up
        return False
    path = Path(argument)
    try:
        return path.is_dir() or (path.suffix.lower() in ENDINGS and path.is_file())
    except (OSError, ValueError):
        return False
