"""A job: one data set's missing samples through one backbone, a part at a time, with the backbone loaded at most once."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from cache import FeatureStore, Lease, Recipe
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.registry import adapter_of
from extract.backbones.spec import BackboneSpec
from extract.options import LoopOptions
from extract.outcome import Outcome
from extract.outputs import Output


class Job:
    """What is to be extracted, and what has been done of it.

    Parameters
    ----------
    store, recipe, lease
        Where features go, what they are, and this process's claims on them; None where somebody else has made them.
    checkpoint, spec, device, options
        The backbone and how it is run.
    outputs
        What is to be kept.
    progress
        Told how it goes.
    loaded
        Recipe id -> backbone, for those that stay loaded between jobs, and what is known of their speed.
    """

    def __init__(
        self,
        store: FeatureStore,
        recipe: Recipe,
        lease: Lease | None,
        checkpoint: Checkpoint,
        spec: BackboneSpec,
        device: str,
        options: LoopOptions,
        outputs: Sequence[Output],
        progress: Any,
        loaded: dict[str, Any] | None = None,
    ) -> None:
        self.store = store
        self.recipe = recipe
        self.lease = lease
        self.checkpoint = checkpoint
        self.spec = spec
        self.device = device
        self.options = options
        self.outputs = outputs
        self.progress = progress
        self.outcome = Outcome()
        self.loaded = {} if loaded is None else loaded
        self.backbone: Any = self.loaded.get(recipe.id)

    @property
    def backbone_loaded(self) -> bool:
        """Whether the backbone had to be loaded."""
        return self.backbone is not None

    def run(self, samples: Sequence[Any], keys: np.ndarray) -> None:
        """Extract samples with their keys `[n, 16]`; as long as only broken images come, no backbone is loaded."""
        broken: list[str] = []
        if self.checkpoint.offer.takes != "text" and self.backbone is None:
            from extract.decoding import reasons_before_the_first_good

            broken = reasons_before_the_first_good(samples)
        refused = {key.tobytes(): reason for key, reason in zip(keys, broken, strict=False)}
        self.outcome = Outcome.together([self.outcome, Outcome(samples=len(broken), refused=refused)])
        samples, keys = samples[len(broken) :], keys[len(broken) :]
        if not len(keys):
            return
        from extract.loop import run_loop

        if self.backbone is None:
            adapter = adapter_of(self.checkpoint)
            self.backbone = adapter.load(self.checkpoint, self.spec, self.device, self.recipe.precision)
            self.loaded[self.recipe.id] = self.backbone
        lacking = [output for output in self.outputs if self.store.missing(self.recipe, keys, [output.name]).any()]
        done = run_loop(
            self.backbone,
            samples,
            keys,
            lacking,
            self.recipe.dtype,
            self._commit,
            self.progress,
            device=self.device,
            options=self.options,
            identity=self.recipe.id,
            first_slice=self.loaded.get(f"{self.recipe.id} slice"),
        )
        self.loaded[f"{self.recipe.id} slice"] = done.slice
        self.outcome = Outcome.together([self.outcome, done])

    def _commit(self, keys: np.ndarray, features: Mapping[str, Any]) -> None:
        self.store.commit(self.recipe, keys, features, provenance(self.device, self.options))
        if self.lease is not None:
            self.lease.renew()


def provenance(device: str, options: LoopOptions) -> dict[str, Any]:
    """Say what features are made with that cannot change them but by rounding: device, options, library versions."""
    libraries = ("torch", "transformers", "sentence-transformers", "timm", "open_clip_torch", "torchvision", "pillow")
    versions = {name: importlib.metadata.version(name) for name in libraries}
    for name in ("onnxruntime", "onnxruntime-gpu"):  # an extra
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    how = {"compile": options.compile, "channels_last": options.channels_last}
    return {"device": device, "python": platform.python_version(), **how, **versions}
