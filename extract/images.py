"""What an image sample may be before anybody decodes it, and its key. No imaging library here.

An image is a reference that a worker reads when its turn comes (`ImageFile`, `ImageCell`, `DatasetItem`), the bytes of
a file, or an image in memory (PIL, numpy, torch). An `ImageText` is an image with a text.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache import HeadstartError, image_key, image_text_key, pixels_key, remembered_all
from extract.errors import UnusableSampleError
from extract.remote import is_url, read_file

ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".tga", ".mpo"),
)
"""Endings of image files, in lower case."""

LARGEST_FILE = 1 << 30
"""Bytes after which a file is refused unread."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file, by its path or URL, that is read when its turn comes."""

    path: str

    def read(self) -> bytes:
        """Return the file's bytes; raises `UnusableSampleError` with the reason if it cannot be read."""
        try:
            return read_file(self.path, LARGEST_FILE) if is_url(self.path) else _read(self.path)
        except HeadstartError as error:  # a kind of URL that is not read
            raise UnusableSampleError(str(error)) from error
        except OSError as error:
            named = f"{self.path}: " if is_url(self.path) else ""  # a row's name does not say what its column holds
            raise UnusableSampleError(named + reason_of(error)) from error


@dataclass(frozen=True, slots=True)
class ImageCell:
    """An image in a table's column, which holds bytes, a path, or a struct of both as Hugging Face `datasets` writes it.

    Attributes
    ----------
    column
        Indexed by `row` when the image is read; a column that reads from disk keeps nothing in memory.
    folder
        What paths in the column are relative to.
    """

    column: Any
    row: int
    folder: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process without the rest of the column."""
        return ImageCell, ([self._value()], 0, self.folder)

    def resolve(self) -> Any:
        """Return what the cell holds: bytes, an `ImageFile`, or an image in memory."""
        value = self._value()
        if isinstance(value, dict) and value.keys() >= {"bytes", "path"}:
            value = value["path"] if value["bytes"] is None else value["bytes"]
        if isinstance(value, str) and value:
            return ImageFile(place_of(value, self.folder))
        return value

    def _value(self) -> Any:
        value = self.column[self.row]
        return value.as_py() if hasattr(value, "as_py") else value


@dataclass(frozen=True, slots=True)
class DatasetItem:
    """An item of a torch map-style data set, which is asked for it when its turn comes."""

    dataset: Any
    index: int

    def resolve(self) -> Any:
        """Return the item's image."""
        return image_of_item(self.dataset[self.index])


@dataclass(frozen=True, slots=True)
class ImageText:
    """An image (of any kind) with a text."""

    image: Any
    text: str


def place_of(value: str, folder: str) -> str:
    """Return the path or URL that a table's cell stands for; a path is relative to the table's folder."""
    return value if is_url(value) else os.path.join(folder, value)


def image_of_item(item: Any) -> Any:
    """Pick the image out of a data set's item: an image, `(image, label, ...)`, or a mapping with `image` or `pixel_values`."""
    if isinstance(item, dict):
        return item.get("image", item.get("pixel_values"))
    return item[0] if isinstance(item, tuple | list) and item else item


def is_image(sample: Any) -> bool:
    """Tell whether a sample is an image of any kind: a reference, a path, bytes, or one in memory. A `str` is a text."""
    return isinstance(sample, ImageFile | ImageCell | DatasetItem | Path | bytes | bytearray) or _is_in_memory(sample)


def resolve(sample: Any) -> Any:
    """Turn any reference into bytes or an image in memory; raises `UnusableSampleError` if there is nothing behind it."""
    if isinstance(sample, ImageCell | DatasetItem):
        sample = sample.resolve()
    if isinstance(sample, str | Path):
        sample = ImageFile(str(sample))
    if isinstance(sample, ImageFile):
        sample = sample.read()
    if isinstance(sample, bytearray | memoryview):
        sample = bytes(sample)
    if isinstance(sample, bytes) or _is_in_memory(sample):
        return sample
    raise UnusableSampleError("no image" if sample is None else f"not an image but {type(sample).__name__}")


def image_keys(samples: Sequence[Any]) -> list[bytes | str]:
    """Return the key of every image (or image with its text), or the reason why it has none.

    Files are read in threads, one at a time each, and their keys are remembered until they change.
    """
    files = {row: path for row, sample in enumerate(samples) if (path := _path_of(sample)) is not None}
    told = dict(zip(files, remembered_all(list(files.values()), "image key", _file_key), strict=True))
    keys: list[bytes | str] = []
    for row, sample in enumerate(samples):
        try:
            known = told.get(row)
            image = _key(sample) if known is None else _checked(known)
            keys.append(image_text_key(image, sample.text) if isinstance(sample, ImageText) else image)
        except UnusableSampleError as error:
            keys.append(str(error))
        except UnicodeEncodeError:
            keys.append("the text is not valid UTF-8")
    return keys


def _path_of(sample: Any) -> str | None:
    if isinstance(sample, ImageText):
        sample = sample.image
    if isinstance(sample, ImageFile):
        return None if is_url(sample.path) else sample.path
    return str(sample) if isinstance(sample, str | Path) else None


def _key(sample: Any) -> bytes:
    content = resolve(sample.image if isinstance(sample, ImageText) else sample)
    if isinstance(content, bytes):
        if not content:
            raise UnusableSampleError("no bytes")
        return image_key(content)
    from extract.decoding import to_rgb

    picture = to_rgb(content)
    return pixels_key(picture.mode, (picture.height, picture.width), picture.tobytes())


def _checked(answer: str | OSError) -> bytes:
    if isinstance(answer, OSError):
        raise UnusableSampleError(reason_of(answer))
    if not answer:
        raise UnusableSampleError("the file is empty")
    return bytes.fromhex(answer)


def _file_key(path: str) -> str:
    content = _read(path)
    return image_key(content).hex() if content else ""


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > LARGEST_FILE:
            raise OSError(f"the file is larger than {LARGEST_FILE >> 20} MiB")
        return file.read()


def reason_of(error: OSError) -> str:
    """Say why a file cannot be read."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return f"cannot be read: {error.strerror or error}"


def _is_in_memory(sample: Any) -> bool:
    """Recognise PIL images, numpy arrays and torch tensors without importing any of the libraries."""
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(sample).__mro__}
    return not kinds.isdisjoint({("PIL", "Image"), ("numpy", "ndarray"), ("torch", "Tensor")})
