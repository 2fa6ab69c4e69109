"""Identity of a user's own backbone: digests of its weights and of the code that uses them."""

import hashlib
import inspect
import re
import sysconfig
from collections.abc import Collection
from pathlib import Path
from typing import Any

from extract.errors import BackboneError

_LIBRARIES = tuple({sysconfig.get_paths()[place] for place in ("stdlib", "purelib", "platlib")})
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")


def digest_state(module: Any, names: Collection[str] | None = None) -> str:
    """Return the SHA-256 over a torch module's state, or some of it: names, types, shapes and bytes of parameters, buffers."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if names is not None and name not in names:
            continue
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes() if values.numel() else b"")
    return f"sha256:{digest.hexdigest()}"


def digest_code(*parts: Any) -> str:
    """Return the SHA-256 over the code of functions, classes' instances and modules.

    Of code in a file of the user's, the whole file counts; of a library's, the name. Of an instance, also how it prints
    itself.

    Raises
    ------
    BackboneError
        If something's code or state cannot be told, so that a change of it would go unnoticed.
    """
    lines = [line for part in parts for line in _describe(part)]
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _describe(part: Any) -> list[str]:
    if inspect.ismethod(part):
        return [*_describe(part.__func__), *_describe(part.__self__)]
    if inspect.isfunction(part):
        if part.__closure__:
            raise _unknown(part, "takes values from around it")
        return [_code_of(part)]
    if inspect.isclass(part) or inspect.isbuiltin(part):
        return [_code_of(part)]
    printed = repr(part)
    if _ADDRESS.search(printed):
        raise _unknown(part, "does not print its state")
    return [_code_of(type(part)), printed]


def _code_of(thing: Any) -> str:
    name = f"{thing.__module__}.{thing.__qualname__}"
    try:
        file = inspect.getsourcefile(thing)
        if file is not None and file.startswith(_LIBRARIES):
            return name
        content = Path(file).read_bytes() if file is not None and Path(file).is_file() else inspect.getsource(thing).encode()
    except (OSError, TypeError) as error:
        if thing.__module__.partition(".")[0] in ("builtins", "torch", "numpy"):
            return name
        raise _unknown(thing, "has no source that can be read") from error
    return f"{name} {hashlib.sha256(content).hexdigest()}"


def _unknown(thing: Any, why: str) -> BackboneError:
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    return BackboneError(
        f"`{name}` {why}, so a change of it would go unnoticed; give the backbone a `version`, to be raised with every change"
    )
