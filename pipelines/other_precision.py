"""Features that a store holds in another precision than `auto` means on this machine: a GPU's beside a CPU's."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cache import FeatureStore
from extract import BackboneSpec, Samples
from extract.backbones.checkpoint import Checkpoint
from extract.devices import choose_device
from extract.extractor import make_recipe, settle_precision
from extract.outputs import parse_outputs

AUTOMATIC = ("bfloat16", "float32")
"""What `auto` may mean, on a GPU and on a CPU."""


def find_other_precision(
    store: FeatureStore, samples: Samples, checkpoint: Checkpoint, spec: BackboneSpec, outputs: Any, device: str
) -> tuple[str, int] | None:
    """Return in which other precision a store holds features that are missing in this machine's, and of how many samples.

    None where there are none, where the precision is named, and where samples have views.

    Parameters
    ----------
    store
        Where to look.
    samples, checkpoint
        Matched with each other.
    spec, outputs, device
        As `extract` takes them.
    """
    if spec.precision != "auto" or spec.views is not None:
        return None
    offer = checkpoint.offer
    names = [output.name for output in parse_outputs(outputs, offer, spec.dtype, "outputs")]
    own = settle_precision(checkpoint, spec, choose_device(device))
    keys = samples.admit(offer.takes).keys
    lacking = store.missing(make_recipe(checkpoint, spec, own), keys, names)
    found = list(_held(store, checkpoint, spec, own, keys[lacking], names)) if lacking.any() else []
    return max(found, key=lambda one: one[1], default=None)


def _held(
    store: FeatureStore, checkpoint: Checkpoint, spec: BackboneSpec, own: str, keys: np.ndarray, names: Sequence[str]
) -> Iterator[tuple[str, int]]:
    for precision in AUTOMATIC:
        recipe = make_recipe(checkpoint, spec, precision)
        if precision != own:
            count = int((~store.missing(recipe, keys, names)).sum())
            if count:
                yield precision, count
