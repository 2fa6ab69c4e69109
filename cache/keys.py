"""Sample keys: a sample's identity is its content.

A key is 128 bits of BLAKE2b over the raw content, so that nobody can craft two samples that share a feature. The
`person` parameter keeps the kinds of content apart: a text never has the key of a pair, a file never that of its
pixels. Part of the store's format.
"""

import hashlib
from collections.abc import Iterable, Sequence

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


def image_key(content: bytes) -> bytes:
    """Return the 16-byte key of an encoded image: its file's bytes, not decoded."""
    return hashlib.blake2b(content, digest_size=KEY_BYTES, person=b"headstart-image").digest()


def pixels_key(mode: str, shape: Sequence[int], pixels: bytes) -> bytes:
    """Return the 16-byte key of an image in memory: its mode, such as `RGB`, its shape and its decoded pixels."""
    digest = hashlib.blake2b(
        f"{mode} {'x'.join(map(str, shape))}\n".encode(), digest_size=KEY_BYTES, person=b"headstart-pixels"
    )
    digest.update(pixels)
    return digest.digest()


def image_text_key(image: bytes, text: str) -> bytes:
    """Return the 16-byte key of an image with a text, from the image's key and the text.

    Raises
    ------
    UnicodeEncodeError
        If the text holds lone surrogates.
    """
    return hashlib.blake2b(image + text.encode(), digest_size=KEY_BYTES, person=b"headstart-imtext").digest()


def view_key(sample: bytes, view: int, seed: int) -> bytes:
    """Return the 16-byte key of an augmented view of a sample, from the sample's key, the view's index and the seed."""
    content = sample + view.to_bytes(8, "little") + seed.to_bytes(8, "little")
    return hashlib.blake2b(content, digest_size=KEY_BYTES, person=b"headstart-view").digest()


def as_key_array(keys: Iterable[bytes]) -> np.ndarray:
    """Stack 16-byte keys into an array `[n, 16]` of uint8."""
    return np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)


def sortable(keys: np.ndarray) -> np.ndarray:
    """View keys `[n, 16]` uint8 as `[n]` fixed-width byte strings, which numpy sorts and searches whole."""
    return np.ascontiguousarray(keys).view(f"S{KEY_BYTES}").reshape(-1)
