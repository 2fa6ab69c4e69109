"""Finding a tokenizer that is not the backbone's own: in a folder or on the hub. No torch here."""

from dataclasses import dataclass
from pathlib import Path

from extract.backbones.checkpoint import digest, resolve_commit
from extract.errors import NoSuchBackboneError

_FILES = {".json", ".txt", ".model", ".tiktoken", ".bpe"}


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer that has been found and not loaded: where it is, the hub's commit, and a digest (or the commit)."""

    location: str
    revision: str | None
    identity: str


def find_tokenizer(name: str) -> TokenizerFiles:
    """Find a tokenizer in a folder, or on the hub as `NAME[@REVISION]`.

    Raises
    ------
    BackboneError
        If it is nowhere.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        files = [file for file in sorted(folder.iterdir()) if file.suffix in _FILES and file.is_file()]
        if not any(file.name.startswith(("tokenizer", "vocab", "spiece", "sentencepiece")) for file in files):
            raise NoSuchBackboneError(f"tokenizer {name}: there are no files of a tokenizer in this folder")
        return TokenizerFiles(str(folder), None, digest(folder, files))
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise NoSuchBackboneError(f"tokenizer {name}: there is no such folder")
    bare, _, revision = name.partition("@")
    commit = resolve_commit(bare, revision or "main", f"tokenizer {name}")
    return TokenizerFiles(bare, commit, f"commit:{commit}")
