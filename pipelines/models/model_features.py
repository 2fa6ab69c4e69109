"""A model's features and logits for samples: from the store where they are those of its checkpoint, else computed here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cache import Ragged
from extract import extract
from heads.inputs import Tokens
from heads.scaling import ROWS_AT_ONCE
from pipelines.errors import TrainingError
from pipelines.models.backbone_module import BackboneModule
from pipelines.models.labelled import Labelled
from pipelines.models.model import FeatureBasedModel
from pipelines.models.sample_batches import SampleBatches, collate_for


@dataclass(frozen=True)
class ModelFeatures:
    """The features of the samples that can be used.

    Attributes
    ----------
    values
        `[m, d]`, or `Tokens`.
    rows
        `[m]`, their positions among the samples.
    note
        Where they come from, in a line.
    skipped
        Row -> reason, of the others.
    """

    values: Any
    rows: np.ndarray
    note: str
    skipped: dict[int, str]


def features_of(
    model: FeatureBasedModel, data: Labelled, batch_size: int = 32, keep: bool = False, progress: Any = None
) -> ModelFeatures:
    """Return a model's features of samples.

    A pretrained backbone whose weights are those of its checkpoint goes through the model's feature store, whether or not it
    is frozen at the moment; any other is run here, and nothing of it is kept.

    Parameters
    ----------
    model, data
        Whose features, of what.
    batch_size
        Samples at a time, where they are computed here.
    keep
        Have the store note that these samples are wanted (see `extract`).
    progress
        Told how an extraction goes.
    """
    backbone = model.backbone
    if isinstance(backbone, BackboneModule) and backbone.is_as_loaded:
        samples = backbone.taken(data.samples)
        with as_if_frozen(model):
            found = extract(
                samples,
                backbone.spec,
                model.store,
                [backbone.output],
                device=str(backbone.device),
                keep_table=keep,
                progress=progress,
                loaded={backbone.recipe.id: backbone.adapter},
            )
        if not len(found.rows):
            raise TrainingError(
                f"no sample can be used; the first: {found.skipped[0].reason if found.skipped else 'none given'}"
            )
        note = f"{found.cached:,} features from the store `{found.store.name}`, {found.extracted:,} extracted into it"
        return ModelFeatures(
            _array(found.array()), found.rows, note, {skipped.row: skipped.reason for skipped in found.skipped}
        )
    usable = usable_rows(model, data)
    with as_if_frozen(model), torch.inference_mode():
        parts = [model.features(*part.inputs()) for part in usable.batches(batch_size)]
    return ModelFeatures(_joined(parts), usable.rows, f"{len(usable.rows):,} features computed in memory", usable.skipped)


@dataclass(frozen=True)
class Usable:
    """The samples that a model can take `[m]`, with their rows, how to make batches of them, and the reasons for the others."""

    samples: Sequence[Any]
    rows: np.ndarray
    skipped: dict[int, str]
    model: FeatureBasedModel

    def batches(self, size: int) -> Iterator[Any]:
        """Give them in order, so many at a time."""
        return SampleBatches(collate_for(self.model.backbone), self.samples, size).in_order()


def usable_rows(model: FeatureBasedModel, data: Labelled) -> Usable:
    """Find out which samples a model can take; images are decoded for it."""
    samples = data.samples
    skipped: dict[int, str] = {}
    if isinstance(model.backbone, BackboneModule):
        samples = model.backbone.taken(samples)
        skipped = model.backbone.unusable(samples)
    rows = np.array([row for row in range(len(samples)) if row not in skipped], dtype=np.int64)
    if not len(rows):
        raise TrainingError(f"no sample can be used; the first: {next(iter(skipped.values()), 'none given')}")
    return Usable([samples.inputs[row] for row in rows.tolist()], rows, skipped, model)


def promising_rows(model: FeatureBasedModel, data: Labelled) -> np.ndarray:
    """Return the rows `[m]` of the samples that look usable to a model, before any is decoded."""
    if not isinstance(model.backbone, BackboneModule):
        return np.arange(len(data))
    return model.backbone.taken(data.samples).promising(model.backbone.kind)


def logits_of(model: FeatureBasedModel, features: ModelFeatures) -> np.ndarray:
    """Return the logits `[m, c]` of features."""
    device = next(model.classifier.parameters()).device
    was_training = model.training
    model.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(features.values), ROWS_AT_ONCE):
            part = features.values[start : start + ROWS_AT_ONCE]
            found.append(model.classify(_padded(part, device)).float().cpu())
    model.train(was_training)
    return torch.cat(found).numpy()


def _array(found: Any) -> Any:
    return Tokens(found.values, found.offsets) if isinstance(found, Ragged) else found


def _joined(parts: Sequence[Any]) -> Any:
    if not isinstance(parts[0], tuple):
        return torch.cat(list(parts)).float().cpu().numpy()
    values = torch.cat([states[mask] for states, mask in parts]).float().cpu().numpy()
    lengths = torch.cat([mask.sum(dim=1) for _, mask in parts]).cpu().numpy()
    return Tokens(values, np.concatenate([[0], np.cumsum(lengths)]))


def _padded(part: Any, device: torch.device) -> Any:
    from heads.batches import TokenRows

    if not isinstance(part, Tokens):
        return torch.as_tensor(part, device=device)
    rows = TokenRows(torch.as_tensor(part.values, device=device), torch.as_tensor(part.offsets))
    padded, mask = rows.inputs()
    return padded, mask


@contextmanager
def as_if_frozen(model: FeatureBasedModel) -> Iterator[None]:
    """Keep a model's backbone frozen for a while."""
    learning = [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]
    was_training = model.training
    model.freeze()
    model.eval()
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
        model.train(was_training)
