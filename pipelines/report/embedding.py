"""Data inside a page: JSON that cannot end its block, arrays packed as base64, texts cut to a length, small pictures."""

import base64
import io
import json
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from markupsafe import Markup

from extract import Samples
from extract.errors import UnusableSampleError
from extract.images import ImageText, is_image
from pipelines.given import show

_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_CONTROLS = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n\r"}
"""Control characters, and NUL first of all, are shown as the pictures that Unicode has for them."""
_CONTROLS |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F), "�")
"""So are those that turn the direction of writing, by which a text could look like another."""


def as_json(content: Any) -> Markup:
    """Return JSON that can stand in a `<script>` block: it holds no `<`, `>` or `&`, and is UTF-8."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)
    return Markup(text.encode("utf-8", errors="replace").decode("utf-8"))  # noqa: S704  (escaped above)


def pack_unit(values: np.ndarray) -> str:
    """Pack numbers from 0 to 1 as 16-bit integers in base64."""
    shorts = np.rint(np.clip(np.nan_to_num(values), 0, 1) * 65535).astype("<u2")
    return base64.b64encode(shorts.tobytes()).decode()


def pack_shares(values: np.ndarray) -> str:
    """Pack numbers from 0 to 1, or NaN for what is not known, as 16-bit integers in base64; the highest stands for NaN."""
    known = np.rint(np.clip(np.nan_to_num(values), 0, 1) * 65534)
    return base64.b64encode(np.where(np.isnan(values), 65535, known).astype("<u2").tobytes()).decode()


def pack_codes(codes: np.ndarray) -> str:
    """Pack codes below 65,536 in base64."""
    return base64.b64encode(np.asarray(codes).astype("<u2").tobytes()).decode()


def shown_text(samples: Samples, row: int, longest: int) -> str:
    """Return a sample as text of a bounded length, without control characters; of a picture its id, not its path."""
    sample = samples.inputs[row]
    if isinstance(sample, ImageText):
        return cut(sample.text, longest)
    if is_image(sample):
        return cut(samples.ids[row], longest)
    text = show(sample, samples.ids[row])
    return cut(" / ".join(map(str, text)) if isinstance(text, tuple | list) else str(text), longest)


def cut(text: str, longest: int) -> str:
    """Cut a text to a length and make its control characters harmless."""
    return text[:longest].translate(_CONTROLS) + ("…" if len(text) > longest else "")


def thumbnails(samples: Samples, rows: Iterable[int], side: int, seconds: float) -> dict[int, str]:
    """Return small JPEG pictures in base64 by row, of those samples that are images and can be read, within a time.

    Parameters
    ----------
    samples, rows
        Which.
    side
        Longest side in pixels.
    seconds
        After which no more are made.
    """
    until, pictures = time.monotonic() + seconds, {}
    for row in rows:
        sample = samples.inputs[row]
        sample = sample.image if isinstance(sample, ImageText) else sample
        if not is_image(sample):
            continue
        if time.monotonic() > until:
            break
        try:
            from extract.decoding import decode

            picture = decode(sample)
        except UnusableSampleError:
            continue
        picture.thumbnail((side, side))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=72)
        pictures[row] = base64.b64encode(file.getvalue()).decode()
    return pictures
