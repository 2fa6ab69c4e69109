"""Loading: one line for whatever a library says when it fails; autocast for the forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from extract.backbones.checkpoint import Checkpoint
from extract.errors import BackboneError

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@contextmanager
def loading(checkpoint: Checkpoint) -> Iterator[None]:
    """Put a library's failure to load a checkpoint in one line, and hide its progress bar unless it downloads."""
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    local = checkpoint.revision is None
    if local:
        disable_progress_bars()
    try:
        yield
    except BackboneError as error:
        raise BackboneError(f"{checkpoint.uri}: {error}") from error
    except Exception as error:  # whatever the library and what it stands on raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackboneError(f"{checkpoint.uri}: {checkpoint.location} does not load: {reason}") from error
    finally:
        if local:
            enable_progress_bars()


def autocast(device: str, precision: str) -> torch.autocast:
    """Return the context of a forward pass in a precision; none for `float32`."""
    on = precision in _AUTOCAST
    return torch.autocast(torch.device(device).type, dtype=_AUTOCAST.get(precision), enabled=on)
