"""A shard's directory: where its arrays lie and a checksum for every block, so that a part of it can be read and checked.

It stands between a shard's HDF5 file and the checksum that ends it. Who has a shard at the far end of a network reads the
directory, and then only the blocks that hold the rows it wants. Its checksums of whole arrays are those that the shard's name
is the hash of, so a directory belongs to one shard.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xxhash

BLOCK = 2**16
"""Bytes of a block; the last one of a file is shorter."""

_MAGIC = b"headstart parts\n"
_LENGTHS = struct.Struct("<QQQ")
_FOOTER = struct.Struct("<24s16s16s")
FOOTER_BYTES = _FOOTER.size
MOST_BYTES = 2**26


@dataclass(frozen=True)
class Extent:
    """Where an array lies in a file."""

    offset: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return int(np.prod(self.shape, dtype=object)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, eq=False)
class Directory:
    """What is known of a shard without having all of it.

    Attributes
    ----------
    rows
        Samples in the shard.
    extents, sums
        Dataset -> where it lies in the file, and its XXH3-128 in hexadecimal.
    length
        Bytes of the HDF5 file.
    blocks
        `[ceil(length / BLOCK)]` uint64: XXH3-64 of every block; empty where they are not known.
    """

    rows: int
    extents: Mapping[str, Extent]
    sums: Mapping[str, str]
    length: int
    blocks: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))

    @classmethod
    def of(cls, image: bytes, rows: int, extents: Mapping[str, Extent], sums: Mapping[str, str]) -> "Directory":
        """Make the directory of an HDF5 file."""
        view = memoryview(image)
        blocks = [xxhash.xxh3_64_intdigest(view[start : start + BLOCK]) for start in range(0, len(view), BLOCK)]
        return cls(rows, extents, sums, len(view), np.array(blocks, np.uint64))

    def to_bytes(self) -> bytes:
        """Return what stands in a file: JSON, the blocks' checksums, lengths and a checksum of all that."""
        extents = {name: (extent.offset, extent.shape, extent.dtype) for name, extent in self.extents.items()}
        content = json.dumps({"rows": self.rows, "extents": extents, "sums": dict(self.sums)}).encode()
        lengths = _LENGTHS.pack(len(content), len(self.blocks), self.length)
        body = content + self.blocks.astype("<u8").tobytes()
        return body + _FOOTER.pack(lengths, xxhash.xxh3_128_digest(body + lengths), _MAGIC)

    def damaged_block(self, first: int, content: bytes) -> int | None:
        """Return the first block whose checksum does not hold in the content of blocks from `first` on; None if all do."""
        view = memoryview(content)
        for number, start in enumerate(range(0, len(view), BLOCK), first):
            if number >= len(self.blocks) or xxhash.xxh3_64_intdigest(view[start : start + BLOCK]) != int(self.blocks[number]):
                return number
        return None


def bytes_before(footer: bytes) -> int | None:
    """Return how many bytes a directory has before the footer that it ends in; None if that is no directory's footer."""
    if len(footer) != FOOTER_BYTES:
        return None
    lengths, _, magic = _FOOTER.unpack(footer)
    content, blocks, _ = _LENGTHS.unpack(lengths)
    return content + 8 * blocks if magic == _MAGIC and content + 8 * blocks <= MOST_BYTES else None


def read_directory(content: bytes) -> Directory:
    """Read what `to_bytes` wrote; raises `ValueError`, `KeyError` or `TypeError` if it does not hold."""
    body, (lengths, sum_, magic) = content[:-FOOTER_BYTES], _FOOTER.unpack(content[-FOOTER_BYTES:])
    if magic != _MAGIC or xxhash.xxh3_128_digest(body + lengths) != sum_:
        raise ValueError("the checksum of its directory does not hold")
    begin, count, length = _LENGTHS.unpack(lengths)
    said = json.loads(body[:begin])
    extents = {
        str(name): Extent(int(offset), tuple(map(int, shape)), str(np.dtype(dtype).str))
        for name, (offset, shape, dtype) in said["extents"].items()
    }
    blocks = np.frombuffer(body[begin:], "<u8")
    if len(blocks) != count or count not in (0, -(-length // BLOCK)):
        raise ValueError("its directory has another number of blocks than the file")
    sums = {str(name): str(sum_) for name, sum_ in said["sums"].items()}
    return Directory(int(said["rows"]), extents, sums, length, blocks)
