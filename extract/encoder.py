"""The encoder: a backbone that stays loaded and gives features in memory, for answers that nobody wants to keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache import Ragged, Recipe
from extract.backbones.registry import adapter_of
from extract.backbones.spec import BackboneSpec
from extract.devices import choose_device
from extract.extractor import make_recipe, match_samples, settle_precision
from extract.options import LoopOptions
from extract.outputs import parse_outputs
from extract.quiet import Quiet
from extract.samples import Samples, Skipped


@dataclass(frozen=True)
class Encoded:
    """Features of some samples, in memory.

    Attributes
    ----------
    recipe
        What made them, as in the store.
    features
        Output -> `[m, d]` or `Ragged`, of the usable samples in order.
    rows
        `[m]`, their positions among all samples.
    skipped
        The others, and why.
    """

    recipe: Recipe
    features: Mapping[str, np.ndarray | Ragged]
    rows: np.ndarray
    skipped: list[Skipped]


class Encoder:
    """Runs a backbone over samples without a store; the backbone is loaded by the first call and stays.

    Parameters
    ----------
    spec
        The backbone and its settings; views are not made.
    outputs
        What to give, as for `extract`.
    device, options
        How to run it; samples are decoded in this process, since a few at a time are not worth others.
    """

    def __init__(
        self, spec: BackboneSpec, outputs: Any = None, device: str = "auto", options: LoopOptions | None = None
    ) -> None:
        self.spec = spec
        self.outputs = outputs
        self.device = choose_device(device)
        self.options = options or LoopOptions(workers=0)
        self._loaded: dict[str, Any] = {}

    def __call__(self, samples: Samples | Sequence[Any]) -> Encoded:
        """Return the features of all usable samples.

        Raises
        ------
        BackboneError
            If the backbone cannot be found or loaded, or has no such output.
        """
        from extract.loop import run_loop

        samples = samples if isinstance(samples, Samples) else Samples.of(samples)
        samples, checkpoint = match_samples(samples, self.spec)
        asked = parse_outputs(self.outputs, checkpoint.offer, self.spec.dtype, f"outputs of {checkpoint.uri}")
        precision = settle_precision(checkpoint, self.spec, self.device)
        recipe = make_recipe(checkpoint, self.spec, precision)
        admitted = samples.admit(checkpoint.offer.takes)
        keys, first, which = np.unique(admitted.keys, axis=0, return_index=True, return_inverse=True)
        parts: list[tuple[np.ndarray, Mapping[str, Any]]] = []
        if len(keys) and recipe.id not in self._loaded:
            self._loaded[recipe.id] = adapter_of(checkpoint).load(checkpoint, self.spec, self.device, precision)
        refused: Mapping[bytes, str] = {}
        if len(keys):
            inputs = [samples.inputs[row] for row in admitted.rows[first].tolist()]
            refused = run_loop(
                self._loaded[recipe.id], inputs, keys, asked, self.spec.dtype, lambda keys, found: parts.append((keys, found)),
                Quiet(), device=self.device, options=self.options, identity=recipe.id,
            ).refused  # fmt: skip
        usable = np.array([key.tobytes() not in refused for key in admitted.keys], bool)
        skipped = [
            *admitted.skipped,
            *(
                Skipped(row, samples.ids[row], refused[key.tobytes()])
                for row, key, good in zip(admitted.rows.tolist(), admitted.keys, usable.tolist(), strict=True)
                if not good
            ),
        ]
        features = _in_order(parts, keys, which.reshape(-1)[usable]) if usable.any() else {}
        return Encoded(recipe, features, admitted.rows[usable], sorted(skipped, key=lambda entry: entry.row))


def _in_order(
    parts: Sequence[tuple[np.ndarray, Mapping[str, Any]]], keys: np.ndarray, which: np.ndarray
) -> dict[str, np.ndarray | Ragged]:
    """Put what the loop committed, part by part, in the order of the samples: `which [m]` of `keys [n, 16]` each one is."""
    place = {key.tobytes(): number for number, key in enumerate(np.concatenate([part for part, _ in parts]))}
    order = np.array([place[keys[number].tobytes()] for number in which.tolist()])
    joined: dict[str, np.ndarray | Ragged] = {}
    for name in parts[0][1]:
        blocks = [found[name] for _, found in parts]
        if isinstance(blocks[0], np.ndarray):
            joined[name] = np.concatenate(blocks)[order]
        else:
            joined[name] = Ragged.of(run for part in blocks for run in part)[order]
    return joined
