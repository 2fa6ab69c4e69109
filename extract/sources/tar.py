"""The members of a tar archive, one after another, from a stream that cannot go back.

Nothing is ever unpacked onto a disk. Written over `tarfile`'s headers and not its archives, which read whatever a header claims
into memory: here every member and every header has a bound.
"""

import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

ENDINGS = (".tar", ".tar.gz", ".tgz")
BLOCK = 512
MOST_HEADER_BYTES = 2**20
"""Bytes of a long name or of a member's attributes after which an archive counts as damaged."""

_LONG_NAME, _LONG_LINK = b"L", b"K"
_ATTRIBUTES, _ATTRIBUTES_OF_ALL, _ATTRIBUTES_OF_SOLARIS = b"x", b"g", b"X"
_ABOUT_THE_NEXT = (_LONG_NAME, _LONG_LINK, _ATTRIBUTES, _ATTRIBUTES_OF_ALL, _ATTRIBUTES_OF_SOLARIS)
_WITHOUT_DATA = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


class DamagedArchiveError(Exception):
    """An archive cannot be read any further; the text is the reason."""


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes
    ----------
    name
        As it stands in the archive; bytes that are not UTF-8 are surrogates.
    content
        Its bytes; None where they were not wanted, or there is a fault.
    fault
        Why it is not to be used, or None.
    """

    name: str
    content: bytes | None
    fault: str | None = None


def read_members(file: Any, wanted: Callable[[str], bool], most: int) -> Iterator[Member]:
    """Give every file of an archive, in order; folders and links are left out.

    Parameters
    ----------
    file
        Has `read`.
    wanted
        Tells by a member's name whether its bytes are.
    most
        Bytes after which a member is passed over.

    Raises
    ------
    DamagedArchiveError
        Where the archive makes no sense, or ends too early; what came before it has been given.
    """
    for header in _headers(file):
        if header.type not in _FILES:
            _skip(file, header.size)
        elif header.size > most:
            _skip(file, header.size)
            told = f"the member {printable(header.name)} has {header.size:,} bytes, and {most:,} are the most that is read"
            yield Member(header.name, None, told)
        elif not wanted(header.name):
            _skip(file, header.size)
            yield Member(header.name, None)
        else:
            try:
                content = _read(file, header.size)
            except (DamagedArchiveError, EOFError, OSError, zlib.error) as error:
                yield Member(header.name, None, f"the archive is damaged here: {error}")
                raise
            yield Member(header.name, content)


@dataclass(frozen=True)
class _Header:
    """A member's name, type, and the bytes that follow."""

    name: str
    type: bytes
    size: int


def _headers(file: Any) -> Iterator[_Header]:
    """Give every member's header; who takes one reads what follows it before the next."""
    name: str | None = None
    size: int | None = None
    while True:
        block = _read_block(file)
        if not block:
            raise DamagedArchiveError("it ends without an end mark, and may have been cut off")
        if not any(block) and len(block) == BLOCK:
            return
        header = _parse(block)
        if header.type in _ABOUT_THE_NEXT:
            content = _about(file, header.size)
            if header.type == _LONG_NAME:
                name = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif header.type in (_ATTRIBUTES, _ATTRIBUTES_OF_SOLARIS):
                attributes = _attributes(content)
                name = attributes.get("path", name)
                size = _number(attributes["size"]) if "size" in attributes else None
            continue
        stored = header.size if size is None else size
        if stored < 0:
            raise DamagedArchiveError(f"a header says that a member has {stored} bytes")
        if header.type == tarfile.GNUTYPE_SPARSE:
            _skip_sparse_headers(file, block)
        yield _Header(name or header.name, header.type, 0 if header.type in _WITHOUT_DATA else stored)
        name, size = None, None


def _about(file: Any, size: int) -> bytes:
    if not 0 <= size <= MOST_HEADER_BYTES:
        raise DamagedArchiveError(f"a member's attributes claim to have {size:,} bytes")
    return _read(file, size)


def printable(name: str) -> str:
    """Return a name with escapes for what is not to be printed: control characters, and bytes that are not UTF-8."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in name)


def _read_block(file: Any) -> bytes:
    block = b""
    while len(block) < BLOCK and (part := file.read(BLOCK - len(block))):
        block += part
    return block


def _parse(block: bytes) -> tarfile.TarInfo:
    if len(block) < BLOCK:
        raise DamagedArchiveError("it ends in the middle of a header: it was cut off")
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise DamagedArchiveError(f"a header does not hold ({error})") from error


def _read(file: Any, size: int) -> bytes:
    """Read a member's bytes and what fills its last block up; a size that is a lie costs no memory."""
    content = bytearray()
    for part in _parts(file, size):
        content += part
    return bytes(memoryview(content)[:size])


def _skip(file: Any, size: int) -> None:
    for _ in _parts(file, size):
        pass


def _parts(file: Any, size: int) -> Iterator[bytes]:
    left = -(-size // BLOCK) * BLOCK
    while left:
        part = file.read(min(left, 2**20))
        if not part:
            raise DamagedArchiveError("it ends in the middle of a member: it was cut off")
        yield part
        left -= len(part)


def _skip_sparse_headers(file: Any, block: bytes) -> None:
    more = block[482]
    while more:
        block = _read_block(file)
        if len(block) < BLOCK:
            raise DamagedArchiveError("it ends in the middle of a header: it was cut off")
        more = block[504]


def _attributes(content: bytes) -> dict[str, str]:
    """Read a member's attributes, a line `<length> <name>=<value>` each (POSIX.1-2001)."""
    found: dict[str, str] = {}
    at = 0
    while at < len(content) and content[at]:
        digits, _, _ = content[at : at + 20].partition(b" ")
        length = _number(digits.decode("ascii", "replace"))
        name, equals, value = content[at + len(digits) + 1 : at + length - 1].partition(b"=")
        if length < len(digits) + 3 or not equals:
            raise DamagedArchiveError("a member's attributes make no sense")
        found[name.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        at += length
    return found


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise DamagedArchiveError("a member's attributes make no sense")
    return int(digits)
