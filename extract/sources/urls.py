"""Images by URL in streams: a list of them in a text file, or a column of a table; several are read at a time."""

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from extract.errors import SourceError
from extract.images import LARGEST_FILE, ImageFile, ImageText, place_of, reason_of
from extract.remote import UnreachableError, expand, first_line, is_url, opened, read_files, telling_of
from extract.samples import Samples
from extract.stream import SLICE_BYTES, SLICE_SAMPLES, Part, SampleStream

URLS_AT_ONCE = 64
MOST_UNREACHABLE = 256
"""So many URLs in a row that cannot be reached mean that the network is gone, and not that the list is bad."""


def stream_urls(path: str) -> SampleStream:
    """Read the images that a text file lists, a URL or path a line; blank lines are passed over.

    Parameters
    ----------
    path
        The file, by its path or URL. Paths in it are relative to its folder.

    Raises
    ------
    SourceError
        If there is no such file; while reading, if it or the network fails.
    """
    expand(path)
    return SampleStream(
        path, partial(_read_list, path), lambda: [partial(_read_list, path, *place, SLICE_SAMPLES) for place in _places(path)]
    )


def with_contents(slices: Iterable[Samples]) -> Iterator[Samples]:
    """Put the contents of files at URLs in the place of their URLs; what cannot be read becomes a fault of its sample.

    Raises
    ------
    SourceError
        If nothing can be reached any more.
    """
    patience = _Patience()
    for samples in slices:
        if not any(_url_of(sample) for sample in samples.inputs):
            yield samples
            continue
        inputs: list[Any] = []
        faults: dict[int, str] = {}
        start = size = 0
        for first in range(0, len(samples), URLS_AT_ONCE):
            for sample, url, content in _read(samples.inputs[first : first + URLS_AT_ONCE]):
                if url is None:
                    inputs.append(sample)
                    continue
                if isinstance(content, OSError):
                    patience.test(url, content)
                    faults[len(inputs)] = f"{url}: {reason_of(content)}"
                    inputs.append(_with(sample, None))
                else:
                    patience.renew()
                    size += len(content)
                    inputs.append(_with(sample, content))
            stop = start + len(inputs)
            if size >= SLICE_BYTES or stop == len(samples):
                part = samples.part(start, stop)
                yield dataclasses.replace(part, inputs=inputs, faults={**part.faults, **faults})
                start, size, inputs, faults = stop, 0, [], {}


def stream_of_parts(name: str, cut: Callable[[], Sequence[Part]]) -> SampleStream:
    """Put a stream together of parts that come one after another, and can be read each on its own; with contents of URLs."""

    def read() -> Iterator[Samples]:
        yield from with_contents(samples for part in cut() for samples in part())

    return SampleStream(name, read, lambda: [partial(_contents_of, part) for part in cut()])


def _contents_of(part: Part) -> Iterator[Samples]:
    return with_contents(part())


class _Patience:
    """Tells a list with bad URLs in it from a network that is gone."""

    def __init__(self) -> None:
        self.unreachable = 0

    def renew(self) -> None:
        """Note that a URL was read."""
        self.unreachable = 0

    def test(self, url: str, error: OSError) -> None:
        """Note that a URL was not; raise `SourceError` where nothing has been reached for long."""
        self.unreachable = self.unreachable + 1 if isinstance(error, UnreachableError) else 0
        if self.unreachable >= MOST_UNREACHABLE:
            told = f"cannot be reached, and neither could the {self.unreachable - 1} before it"
            raise SourceError(f"{url}: {told}: {first_line(error)}; start again when the network is back")


def _read(samples: Sequence[Any]) -> Iterator[tuple[Any, str | None, Any]]:
    """Give samples with their URLs and what is there, bytes or an `OSError`; None of both where a sample is no URL."""
    urls = [_url_of(sample) for sample in samples]
    contents = read_files([url for url in urls if url], LARGEST_FILE)
    for sample, url in zip(samples, urls, strict=True):
        yield sample, url, next(contents) if url else None


def _url_of(sample: Any) -> str | None:
    image = sample.image if isinstance(sample, ImageText) else sample
    return image.path if isinstance(image, ImageFile) and is_url(image.path) else None


def _with(sample: Any, content: bytes | None) -> Any:
    return ImageText(content, sample.text) if isinstance(sample, ImageText) else content


def _places(path: str) -> list[tuple[int, int]]:
    """Return where a list's parts begin: byte and number of the first line."""
    places = [(0, 1)]
    offset = 0
    with telling_of(path), opened(path) as file:
        for number, line in enumerate(file, 1):
            if number > 1 and number % SLICE_SAMPLES == 1:
                places.append((offset, number))
            offset += len(line)
    return places


def _read_list(path: str, offset: int = 0, first: int = 1, lines: int | None = None) -> Iterator[Samples]:
    """Read a list, or so many of its lines from one on, which begins at byte `offset` and is the `first`."""
    with telling_of(path):
        yield from with_contents(_slices(path, offset, first, lines))


def _slices(path: str, offset: int, first: int, lines: int | None) -> Iterator[Samples]:
    name, folder = os.path.basename(path), path.rpartition("/")[0]
    inputs: list[Any] = []
    ids: list[str] = []
    with opened(path) as file:
        if offset:
            file.seek(offset)
        for number, line in enumerate(itertools.islice(file, lines), first):
            place = line.decode("utf-8", "surrogateescape").strip()
            if place:
                inputs.append(ImageFile(place_of(place, folder)))
                ids.append(f"{name}:{number}")
            if len(inputs) >= SLICE_SAMPLES:
                yield Samples(path, inputs, ids)
                inputs, ids = [], []
    if inputs:
        yield Samples(path, inputs, ids)
