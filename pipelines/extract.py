"""Stage 1: a config's samples through its backbones, into the store."""

import dataclasses
import json
import time
from dataclasses import dataclass
from typing import Any

from cache import FeatureStore
from cache.budget import Budget, parse_size
from extract import BackboneSpec, Columns, Features, LoopOptions, Samples, Skipped, extract, find_backbone, load_samples
from pipelines.config import Backbone, Config, Data

MOST_SAMPLES_WITH_LAYERS = 100_000
"""Up to so many samples every layer is kept unasked: with 13 layers of width 768 that is 4 GB at most."""


@dataclass(frozen=True)
class Extraction:
    """A config's samples and their features, one `Features` per backbone."""

    samples: Samples
    features: list[Features]
    seconds: float

    @property
    def skipped(self) -> list[Skipped]:
        """The samples that at least one backbone has no features of, in the source's order."""
        by_row = {skipped.row: skipped for features in self.features for skipped in features.skipped}
        return [by_row[row] for row in sorted(by_row)]

    def to_json(self) -> dict[str, Any]:
        """Return what `headstart extract --json` prints."""
        recipes = [
            {
                "id": features.recipe.id,
                "backbone": features.recipe.backbone,
                "outputs": list(features.outputs),
                "samples": features.samples,
                "cached": features.cached,
                "extracted": features.extracted,
                "skipped": len(features.skipped),
                "backbone_loaded": features.backbone_loaded,
                "truncated": dataclasses.asdict(features.truncation),
                "seconds": round(features.seconds, 3),
            }
            for features in self.features
        ]
        return {"recipes": recipes, "skipped": [{"id": skipped.id, "reason": skipped.reason} for skipped in self.skipped]}

    def skipped_jsonl(self) -> str:
        """Return the skipped samples as JSON lines."""
        return "".join(json.dumps({"id": s.id, "row": s.row, "reason": s.reason}) + "\n" for s in self.skipped)


def extract_config(config: Config, store: str | None = None, strict: bool = False, progress: Any = None) -> Extraction:
    """Load a config's samples and make sure that the store holds their features."""
    began = time.monotonic()
    samples = load_data(config.data)
    budget = None if config.max_size is None else Budget(parse_size(config.max_size), config.evict)
    place = FeatureStore(store or config.store, budget)
    features = [
        extract(
            samples,
            spec_of(backbone),
            place,
            _outputs(config, backbone.name, samples),
            device=config.device,
            options=LoopOptions(**config.loop.model_dump()),
            strict=strict,
            progress=progress,
        )
        for backbone in config.backbones
    ]
    return Extraction(samples, features, time.monotonic() - began)


def load_data(data: Data) -> Samples:
    """Load the samples that a config's `data` describes."""
    source = data.path if data.path is not None else f"hub:{data.hub}"
    columns = columns_of_data(data)
    return load_samples(source, columns, encoding=data.encoding, hub_config=data.config, hub_revision=data.revision)


def columns_of_data(data: Data) -> Columns:
    """Return which column is what."""
    label = tuple(data.label) if isinstance(data.label, list) else data.label
    return Columns(data.text, label, data.split, data.group, data.id, data.image, data.pair)


def spec_of(backbone: Backbone) -> BackboneSpec:
    """Turn a config's backbone into the extraction's."""
    return BackboneSpec(backbone.name, **backbone.model_dump(exclude={"name"}))


def _outputs(config: Config, backbone: str, samples: Samples) -> list[dict[str, Any]] | None:
    """Return what to keep of a backbone; `layers` means its usual output first, then every layer's mean."""
    if config.outputs is None or isinstance(config.outputs, list):
        return None if config.outputs is None else [choice.model_dump() for choice in config.outputs]
    checkpoint = find_backbone(backbone)
    offer = checkpoint.offer.to(samples.kind or checkpoint.offer.takes) or checkpoint.offer
    layered = offer.layers > 1 and "mean" in offer.poolings and offer.takes in ("text", "image")
    if not layered or len(samples) > MOST_SAMPLES_WITH_LAYERS:
        return None
    return [{"pooling": offer.default}, {"layer": "all", "pooling": "mean"}]
