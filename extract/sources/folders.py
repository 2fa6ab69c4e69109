"""Folders by class: `folder/<class>/*`, or `folder/<split>/<class>/*`, of images or of text files.

Images may lie in folders further down, and may lie in the folder itself, where they have no class.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from extract.errors import NoSuchSourceError, SourceError
from extract.images import ENDINGS, ImageFile
from extract.samples import Samples
from extract.sources.columns import SPLITS, Columns, samples_from_columns, split_named
from extract.sources.tabular import text_encoding


def load_folder(path: Path, columns: Columns, encoding: str = "utf-8") -> Samples:
    """Read a folder of images, if there is any in it, or else of text files.

    Raises
    ------
    SourceError
        If there is neither.
    """
    by_split = _is_by_split(path)
    images = sorted(_images_below(str(path)))
    return _image_folder(path, images, by_split) if images else load_text_folder(path, columns, encoding)


def load_text_folder(path: Path, columns: Columns, encoding: str = "utf-8") -> Samples:
    """Read a folder of text files whose folders are the classes, and whose upper folders may be the splits.

    Raises
    ------
    SourceError
        If there is no text file a folder or two below.
    """
    by_split = _is_by_split(path)
    files = sorted(path.glob("*/*/*.txt" if by_split else "*/*.txt"))
    if not files:
        if any(path.glob("*.parquet")):
            raise NoSuchSourceError(
                f"{path}: holds Parquet files; name them as {path.name}/*.parquet, or set `streaming: true` beside the path"
            )
        if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            raise NoSuchSourceError(f"{path}: is a saved Hugging Face data set; name it as `hub` in the place of `path`")
        expected = " or ".join(f"{path.name}/{place}" for place in ("<class>/*", "<split>/<class>/*"))
        raise NoSuchSourceError(f"{path}: no images and no text files (*.txt); expected {expected}")
    known = text_encoding(encoding)
    table = {
        "text": [file.read_bytes().decode(known, errors="surrogateescape") for file in files],
        "label": [file.parent.name for file in files],
    }
    if by_split:
        table["split"] = [file.parent.parent.name for file in files]
    found = Columns("text", "label", "split" if by_split else None)
    return samples_from_columns(str(path), table, found, [file.relative_to(path).as_posix() for file in files], {})


def _image_folder(path: Path, files: list[str], by_split: bool) -> Samples:
    """Take images by their places below `path`; the folder they are in first, below the split's, is their class."""
    parts = [file.split("/") for file in files]
    depth = 1 if by_split else 0
    table: dict[str, list[Any]] = {
        "image": [ImageFile(os.path.join(path, file)) for file in files],
        "label": [place[depth] if len(place) > depth + 1 else None for place in parts],
    }
    if by_split:
        table["split"] = [place[0] if len(place) > 1 else None for place in parts]
    found = Columns(None, "label", "split" if by_split else None, image="image")
    return samples_from_columns(str(path), table, found, files, {})


def _is_by_split(path: Path) -> bool:
    """Tell whether the folders are splits.

    Raises
    ------
    SourceError
        If several are, training among them, and one beside them is not.
    """
    children = sorted(child.name for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    splits = [name for name in children if split_named(name) is not None]
    if len(splits) > 1 and "train" in map(split_named, splits) and (odd := [name for name in children if name not in splits]):
        raise SourceError(
            f"{path}: `{odd[0]}` is no split and lies beside {', '.join(f'`{name}`' for name in splits)}; rename it or move it "
            f"away; splits are {', '.join(SPLITS)}"
        )
    return bool(children) and len(splits) == len(children)


def _images_below(top: str) -> Iterator[str]:
    """Yield the places, relative to `top`, of all image files below it; hidden files and folders are left out."""
    for folder, children, names in os.walk(top, followlinks=False):
        children[:] = [child for child in children if not child.startswith(".")]
        below = os.path.relpath(folder, top)
        for name in names:
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield name if below == "." else f"{below}/{name}"
