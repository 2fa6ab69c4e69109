"""Loading: one line for whatever a library says when it fails; the contexts of the forward pass."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from extract.backbones.checkpoint import Checkpoint
from extract.errors import BackboneError

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@contextmanager
def loading(checkpoint: Checkpoint) -> Iterator[None]:
    """Put a library's failure to load a checkpoint in one line; hide its report, and its progress bar unless it downloads."""
    transformers: Any = sys.modules.get("transformers")  # another library's loading does not wait for its import
    verbosity = transformers and transformers.utils.logging.get_verbosity()
    if transformers is not None:
        transformers.utils.logging.set_verbosity_error()
    try:
        with without_bars() if checkpoint.revision is None else nullcontext():
            yield
    except BackboneError as error:
        raise type(error)(f"{checkpoint.uri}: {error}") from error
    except Exception as error:  # whatever the library and what it stands on raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackboneError(f"{checkpoint.uri}: {checkpoint.location} does not load: {reason}") from error
    finally:
        if transformers is not None:
            transformers.utils.logging.set_verbosity(verbosity)


@contextmanager
def without_bars() -> Iterator[None]:
    """Hide transformers' progress bars, of work that takes no time worth a bar; those hidden already stay hidden afterwards."""
    transformers: Any = sys.modules.get("transformers")
    shown = transformers is not None and transformers.utils.logging.is_progress_bar_enabled()
    if shown:
        transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


def without_graph(model: torch.nn.Module) -> AbstractContextManager[Any]:
    """Return the context of a forward pass: inference mode, unless somebody has unfrozen a part of the model to train it."""
    return nullcontext() if any(parameter.requires_grad for parameter in model.parameters()) else torch.inference_mode()


def autocast(device: str, precision: str) -> torch.autocast:
    """Return the context of a forward pass in a precision; none for `float32`."""
    on = precision in _AUTOCAST
    return torch.autocast(torch.device(device).type, dtype=_AUTOCAST.get(precision), enabled=on)
