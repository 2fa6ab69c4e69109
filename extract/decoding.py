"""Decoding: any image sample to an RGB picture of 8 bits a channel, or the reason why there is none.

What comes out is what `PIL.Image.convert("RGB")` gives, as torchvision's and timm's loaders do, with these differences:
the camera's orientation (EXIF) is applied, and 16-bit and floating-point greyscale is scaled and not cut off. So an alpha
channel is dropped (a transparent pixel shows the colour stored under it), CMYK goes through PIL's plain
conversion, and of an animation the first frame is taken.
"""

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from extract.errors import UnusableSampleError
from extract.images import ImageText, resolve
from extract.views import View

LARGEST_PICTURE = 100_000_000
"""Pixels after which a picture is refused, before anything is decompressed: a file of some kilobytes may claim any size."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "TGA")
"""What is decoded (MPO is read as a JPEG). PIL knows more, some of it through other programs, as EPS; a stranger's file
should not start those."""


def decode(sample: Any) -> Image.Image:
    """Decode an image sample of any kind to an RGB picture.

    Raises
    ------
    UnusableSampleError
        If it is unreadable, truncated, too large, or no image; with the reason.
    """
    content = resolve(sample)
    return to_rgb(_open(content) if isinstance(content, bytes) else content)


def reasons_before_the_first_good(samples: Sequence[Any]) -> list[str]:
    """Return why samples cannot be used, up to the first that can.

    So a data set of which only broken images are missing never loads a backbone for them.
    """
    reasons = []
    for given in samples:
        sample = given
        try:
            while isinstance(sample, ImageText | View):
                sample = sample.image
            decode(sample)
        except UnusableSampleError as error:
            reasons.append(str(error))
        else:
            break
    return reasons


def to_rgb(image: Any) -> Image.Image:
    """Turn an image in memory into an RGB picture.

    Parameters
    ----------
    image
        A PIL image; a numpy array `[h, w]` or `[h, w, c]`; or a torch tensor `[h, w]` or `[c, h, w]`; c is 1, 3 or 4.
        Values are uint8, uint16 or boolean over their whole range, or floating-point from 0 to 1.

    Raises
    ------
    UnusableSampleError
        If it cannot be decoded or has another shape or type.
    """
    picture = image if isinstance(image, Image.Image) else _from_array(image)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL's advice on palettes with transparency, odd EXIF blocks
            picture = ImageOps.exif_transpose(picture)
            if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
                picture = _from_array(_grey_values(picture))
            return picture.convert("RGB")
    except UnusableSampleError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # PIL's plugins raise OSError, SyntaxError, ValueError, struct.error, EOFError, ...
        raise UnusableSampleError(f"does not decode: {_first_line(error)}") from error


def _open(content: bytes) -> Image.Image:
    if not content:
        raise UnusableSampleError("no bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL's own warning of bombs: the bound below is firm
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnusableSampleError("not an image, or of a kind that is not read") from error
    except Image.DecompressionBombError as error:
        raise UnusableSampleError(f"larger than {LARGEST_PICTURE:,} pixels") from error
    except Exception as error:
        raise UnusableSampleError(f"does not decode: {_first_line(error)}") from error
    if picture.width * picture.height > LARGEST_PICTURE:
        raise UnusableSampleError(f"{picture.width} x {picture.height} is larger than {LARGEST_PICTURE:,} pixels")
    return picture


def _grey_values(picture: Image.Image) -> np.ndarray:
    """Return greyscale of more than 8 bits as uint16, or as floats from 0 to 1."""
    values = np.asarray(picture)
    if picture.mode == "F":
        return values
    if values.min() < 0 or values.max() > 0xFFFF:
        raise UnusableSampleError("32-bit greyscale, whose range is not known; save it with 8 or 16 bits")
    return values.astype(np.uint16)


def _from_array(image: Any) -> Image.Image:
    is_tensor = not isinstance(image, np.ndarray)
    values = image.detach().cpu().numpy() if is_tensor else image
    shape = values.shape
    if is_tensor and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))) or 0 in values.shape:
        expected = "[h, w] or [c, h, w]" if is_tensor else "[h, w] or [h, w, c]"
        raise UnusableSampleError(f"an image of shape {list(shape)}; expected {expected} with c of 1, 3 or 4")
    if values.shape[0] * values.shape[1] > LARGEST_PICTURE:
        raise UnusableSampleError(f"{values.shape[1]} x {values.shape[0]} is larger than {LARGEST_PICTURE:,} pixels")
    return Image.fromarray(np.ascontiguousarray(_to_bytes(values))).convert("RGB")


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Scale values over their type's range to 0..255."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise UnusableSampleError("floating-point pixels outside 0 to 1; scale them, and leave normalising to the backbone")
        return np.rint(values * np.float32(255)).astype(np.uint8)
    raise UnusableSampleError(f"pixels of type {values.dtype}; expected uint8, uint16, bool or floats from 0 to 1")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
