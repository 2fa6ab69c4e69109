"""Folders of text files by class: `folder/<class>/*.txt`, or `folder/<split>/<class>/*.txt`."""

from pathlib import Path

from extract.errors import SourceError
from extract.samples import Samples
from extract.sources.columns import Columns, samples_from_columns

_SPLIT_FOLDERS = {"train", "training", "validation", "valid", "val", "dev", "test", "testing"}


def load_text_folder(path: Path, columns: Columns, encoding: str = "utf-8") -> Samples:
    """Read a folder of text files whose folders are the classes, and whose upper folders may be the splits.

    Raises
    ------
    SourceError
        If there is no text file a folder or two below.
    """
    children = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    by_split = bool(children) and all(child.name.lower() in _SPLIT_FOLDERS for child in children)
    files = sorted(path.glob("*/*/*.txt" if by_split else "*/*.txt"))
    if not files:
        raise SourceError(f"{path}: no text files; expected {path.name}/<class>/*.txt or {path.name}/<split>/<class>/*.txt")
    table = {
        "text": [file.read_bytes().decode(encoding, errors="surrogateescape") for file in files],
        "label": [file.parent.name for file in files],
    }
    if by_split:
        table["split"] = [file.parent.parent.name for file in files]
    found = Columns("text", "label", "split" if by_split else None)
    return samples_from_columns(str(path), table, found, [file.relative_to(path).as_posix() for file in files], {})
