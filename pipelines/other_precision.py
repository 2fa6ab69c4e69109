"""Features that a store holds in another precision than `auto` means on this machine: a GPU's beside a CPU's."""

from typing import Any

from cache import FeatureStore
from extract import BackboneSpec, Samples
from extract.backbones.checkpoint import Checkpoint
from extract.devices import choose_device
from extract.extractor import make_recipe, settle_precision
from extract.images import ImageFile
from extract.outputs import parse_outputs
from extract.remote import is_url

AUTOMATIC = ("bfloat16", "float32")
"""What `auto` may mean, on a GPU and on a CPU."""


def find_other_precision(
    store: FeatureStore, samples: Samples, checkpoint: Checkpoint, spec: BackboneSpec, outputs: Any, device: str
) -> tuple[str, int] | None:
    """Return in which other precision a store holds features that are missing in this machine's, and of how many samples.

    None where there are none, where the precision is named, where samples have views, and where their keys would be costly: of
    pictures that are not in files of this machine.

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
    own = settle_precision(checkpoint, spec, choose_device(device))
    others = {precision: make_recipe(checkpoint, spec, precision) for precision in AUTOMATIC if precision != own}
    begun = {precision: recipe for precision, recipe in others.items() if store.folder(recipe).is_dir()}
    offer = checkpoint.offer
    if not begun or not (offer.takes == "text" or all(map(_is_local_file, samples.inputs))):
        return None
    names = [output.name for output in parse_outputs(outputs, offer, spec.dtype, "outputs")]
    keys = samples.admit(offer.takes).keys
    lacking = store.missing(make_recipe(checkpoint, spec, own), keys, names)
    if not lacking.any():
        return None
    held = {name: int((~store.missing(recipe, keys[lacking], names)).sum()) for name, recipe in begun.items()}
    precision = max(held, key=lambda name: held[name])
    return (precision, held[precision]) if held[precision] else None


def _is_local_file(sample: Any) -> bool:
    return isinstance(sample, ImageFile) and not is_url(sample.path)
