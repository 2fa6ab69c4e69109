"""What a user gives `predict`: texts or paths of images as arguments, or a file or folder of either."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extract import Columns, ImageFile, ImageText, Samples, load_samples
from extract.images import ENDINGS
from pipelines.errors import UsageError


def read_given(arguments: Sequence[str], file: Path | None, columns: Columns) -> Samples:
    """Read what is to be answered for.

    Parameters
    ----------
    arguments
        Texts; or paths of images and of folders of them, if all of them are such.
    file
        Instead of them: a `.txt` file with a text a line, a table, an image, or a folder of images or texts.
    columns
        Which columns of a table matter.

    Raises
    ------
    UsageError
        If there is neither or there are both, or the file cannot be read.
    """
    if arguments and file is not None:
        raise UsageError("give texts or images, or a file of them with --file, and not both")
    if not arguments and file is None:
        raise UsageError("give texts or images to classify, or a file of them with --file")
    if file is None:
        return _read_arguments(arguments)
    if file.suffix != ".txt":
        return load_samples(file, columns)
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    return Samples.of(text.split("\n")[: -1 if text.endswith("\n") else None], file.name)


def show(sample: Any, place: str) -> Any:
    """Return a sample as it is told in an answer: a text, a pair, an image's path, or else its place."""
    if isinstance(sample, ImageText):
        return (show(sample.image, place), sample.text)
    if isinstance(sample, ImageFile):
        return sample.path
    return sample if sample is None or isinstance(sample, str | tuple | list | int | float) else place


def _read_arguments(arguments: Sequence[str]) -> Samples:
    if not all(map(_leads_to_images, arguments)):
        return Samples.of(arguments, "command line")
    parts = [load_samples(argument) for argument in arguments]
    inputs = [sample for part in parts for sample in part.inputs]
    return dataclasses.replace(Samples.of(inputs, "command line"), ids=[id_ for part in parts for id_ in part.ids])


def _leads_to_images(argument: str) -> bool:
    if not argument or len(argument) > 4096:  # a text, which the system might refuse to look up
        return False
    path = Path(argument)
    try:
        return path.is_dir() or (path.suffix.lower() in ENDINGS and path.is_file())
    except (OSError, ValueError):
        return False
