"""Small pictures and folders of them, good and broken."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed=0, size=(40, 30), mode="RGB"):
    """Make a smooth random picture, so that JPEG hardly changes it."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image, kind="PNG", **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def broken_contents():
    """Return name -> bytes of ten files that cannot be used, each for another reason."""
    jpeg, png = encoded(picture(), "JPEG"), encoded(picture())
    header = png[:16] + (60_000).to_bytes(4, "big") * 2 + png[24:29]
    import zlib

    bomb = header[:29] + zlib.crc32(header[12:29]).to_bytes(4, "big") + png[33:]
    return {
        "empty.jpg": b"",
        "text.jpg": b"this is no picture",
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "truncated.png": png[: len(png) // 2],
        "zeros.png": bytes(1000),
        "magic.jpg": jpeg[:4],
        "bomb.png": bomb,
        "html.gif": b"<html><body>404</body></html>",
        "flipped.png": png[:40] + bytes(20) + png[60:],
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    }


def write_image_folder(folder: Path, count=12, classes=("bright", "dark"), splits=None, seed=0, kind="png"):
    """Write `<class>/*.png` (or `<split>/<class>/*.png`) whose brightness tells the class."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        label = classes[number % len(classes)]
        split = () if splits is None else (splits[(number // len(classes)) % len(splits)],)
        place = folder.joinpath(*split, label)
        place.mkdir(parents=True, exist_ok=True)
        base = 190 if label == classes[0] else 60
        pixels = np.clip(rng.normal(base, 25, (24, 32, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number:03d}.{kind}")
    return folder
