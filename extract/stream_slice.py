"""A stream's slice on its way through every backbone: the same wherever it happens."""

import dataclasses
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from cache import FeatureStore
from extract.backbones.custom import CustomBackbone
from extract.backbones.spec import BackboneSpec
from extract.engine import Engine
from extract.extractor import Features, extract, refuse
from extract.options import LoopOptions
from extract.place import Here
from extract.samples import Samples, Skipped


@dataclass(frozen=True)
class Request:
    """What is wanted of every sample of a stream.

    Attributes
    ----------
    backbone, outputs
        As for `extract`.
    viewed
        Tells which samples of a slice are to have views; None for all.
    """

    backbone: "str | CustomBackbone | BackboneSpec"
    outputs: Any = None
    viewed: Callable[[Samples], Sequence[bool] | None] | None = None

    @property
    def title(self) -> str:
        """What people know the backbone by."""
        backbone = self.backbone.backbone if isinstance(self.backbone, BackboneSpec) else self.backbone
        return backbone if isinstance(backbone, str) else backbone.checkpoint.uri


@dataclass(frozen=True)
class Extracted:
    """A slice that has been through every backbone.

    Attributes
    ----------
    samples
        The slice; what its inputs are does not matter any more.
    features
        One per request: its features; None where no backbone takes anything of the slice.
    skipped
        One per request: the samples without features, and why.
    """

    samples: Samples
    features: list[Features | None]
    skipped: list[list[Skipped]]


ExtractedSlices = Generator[Extracted, None, None]
"""Slices as they come, in order; to be closed by whoever leaves off early."""


class SliceExtractor:
    """Takes slices through backbones, which all stay loaded.

    Parameters
    ----------
    requests
        Backbones, and what is to be kept of each.
    store, device, options, engine, strict, progress
        As for `extract`.
    check
        Called with every slice first.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        store: FeatureStore,
        device: str = "auto",
        options: LoopOptions | None = None,
        engine: Engine | str | Here = "local",
        strict: bool = False,
        progress: Any = None,
        check: Callable[[Samples], None] | None = None,
    ) -> None:
        self.requests = requests
        self.store = store
        self.device = device
        self.options = options
        self.engine = engine
        self.strict = strict
        self.progress = progress
        self.check = check
        self._loaded: list[dict[str, Any]] = [{} for _ in requests]
        self._kind: str | None = None

    def __call__(self, samples: Samples) -> Extracted:
        """Extract what is missing of a slice."""
        if self.check is not None:
            self.check(samples)
        self._kind = samples.kind or self._kind
        if samples.kind is None and len(samples):  # no backbone takes anything of this
            skipped = samples.admit(self._kind or "text").skipped
            if self.strict and skipped:
                refuse(skipped)
            return Extracted(samples, [None] * len(self.requests), [skipped] * len(self.requests))
        features = [self.extract(samples, number) for number in range(len(self.requests))]
        return Extracted(samples, [*features], [found.skipped for found in features])

    def extract(self, samples: Samples, number: int) -> Features:
        """Extract what one of the backbones lacks of a slice."""
        request = self.requests[number]
        return extract(
            samples,
            request.backbone,
            self.store,
            request.outputs,
            device=self.device,
            options=self.options,
            engine=self.engine,
            strict=self.strict,
            keep_table=False,
            progress=self.progress,
            viewed=None if request.viewed is None else request.viewed(samples),
            loaded=self._loaded[number],
        )


def without_inputs(samples: Samples) -> Samples:
    """Return samples that know all but what they are."""
    return dataclasses.replace(samples, inputs=[None] * len(samples), faults={})
