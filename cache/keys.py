"""Sample keys: a sample's identity is its content.

A key is 128 bits of BLAKE2b over the raw content, so that nobody can craft two samples that share a feature. The
`person` parameter keeps the kinds of content apart: a text never has the key of a pair. Part of the store's format.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

KEY_BYTES = 16


def text_key(text: str, pair: str | None = None) -> bytes:
    """Return the 16-byte key of a text, or of a text and its pair.

    Raises
    ------
    UnicodeEncodeError
        If a text holds lone surrogates, that is, bytes that were not UTF-8.
    """
    if pair is None:
        return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES, person=b"headstart-text").digest()
    first = text.encode()
    content = len(first).to_bytes(8, "little") + first + pair.encode()
    return hashlib.blake2b(content, digest_size=KEY_BYTES, person=b"headstart-pair").digest()


def as_key_array(keys: Iterable[bytes]) -> np.ndarray:
    """Stack 16-byte keys into an array `[n, 16]` of uint8."""
    return np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)


def sortable(keys: np.ndarray) -> np.ndarray:
    """View keys `[n, 16]` uint8 as `[n]` fixed-width byte strings, which numpy sorts and searches whole."""
    return np.ascontiguousarray(keys).view(f"S{KEY_BYTES}").reshape(-1)
