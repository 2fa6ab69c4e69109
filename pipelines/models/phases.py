"""The ways in which a trainer trains: on features that stay the same, from a boundary on, or the whole model in the loop."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from cache import StoreError
from extract.errors import CannotSplitError
from heads.batches import FeatureBlocks
from heads.scaling import Scaling, no_scaling
from heads.training import Data
from pipelines.errors import NoRoomError
from pipelines.models.boundary_batches import BoundaryBatches, BoundaryRows
from pipelines.models.boundary_cache import boundary_of, shelf_of
from pipelines.models.labelled import Labelled
from pipelines.models.model import FeatureBasedModel
from pipelines.models.model_features import features_of, usable_rows
from pipelines.models.pieces import collate_in_pieces, may_be_cut
from pipelines.models.sample_batches import Augment, SampleBatches, collate_for

Say = Callable[[str], None]


class Phase(Protocol):
    """What is trained, and on what; made, it has said in a line what is done.

    Attributes
    ----------
    module
        What the training loop is given.
    """

    module: nn.Module

    def data(self, given: Labelled, class_weight: Any) -> Data:
        """Return samples and targets as the loop takes them, without those that cannot be used."""
        ...


class ThroughCache:
    """A phase in which the classifier learns from features that stay the same.

    Parameters
    ----------
    model
        Whose backbone is frozen.
    train_data
        What it learns from.
    batch_size
        Samples at a time where features are computed here.
    say
        Told what is done, and which samples cannot be used.
    """

    def __init__(self, model: FeatureBasedModel, train_data: Labelled, batch_size: int, say: Say) -> None:
        self.model, self.batch_size, self.say = model, batch_size, say
        self.module = model.classifier
        self._train_data = train_data
        self._found = features_of(model, train_data, batch_size, keep=True)
        say(f"the backbone is frozen: training on features that are computed once ({self._found.note})")

    def data(self, given: Labelled, class_weight: Any) -> Data:
        """Return features, standardised, and targets."""
        model = self.model
        found = self._found if given is self._train_data else features_of(model, given, self.batch_size, keep=True)
        tell_skipped(given, found.skipped, self.say)
        y, weight = make_targets(model, given, found.rows, class_weight)
        scaling = no_scaling(found.values, found.values.shape[-1])
        if model.feature_mean is not None and model.feature_scale is not None:
            scaling = Scaling(model.feature_mean.cpu().numpy(), model.feature_scale.cpu().numpy())
        return Data(FeatureBlocks(found.values, np.arange(len(y)), scaling, y.device, len(y)), y, weight)


class FromBoundary:
    """A phase in which every batch goes through the blocks that learn, and what the frozen ones below give is computed once.

    Parameters
    ----------
    model
        What learns.
    data
        What it learns from, and what is evaluated, if anything is.
    batch_size
        Samples at a time where nothing is learnt.
    say
        Told what is done, and which samples cannot be used.
    progress
        Told how the computation goes.
    pieces
        Whether texts run in pieces of similar lengths, on a CPU.

    Raises
    ------
    CannotSplitError
        If there is no such place in the backbone.
    NoRoomError, StoreError
        If what is below cannot be kept.
    """

    def __init__(
        self,
        model: FeatureBasedModel,
        data: Sequence[Labelled],
        batch_size: int,
        say: Say,
        progress: Any = None,
        pieces: bool = True,
    ) -> None:
        self.model, self.batch_size, self.say = model, batch_size, say
        self.pieces = pieces and may_be_cut(model.backbone)
        self.module = model
        self.boundary = boundary_of(model, data[0])
        shelf = shelf_of(model, self.boundary, batch_size, progress)
        need = shelf.need(data)
        shelf.check_room(need)
        blocks = self.boundary.split.blocks
        below = f"up to `{blocks[-1].removeprefix('model.')}` the backbone stays frozen"
        source = f"computed once, {shelf.place} ({need})" if need.samples else f"kept for all {need.of:,} samples already"
        say(f"{below}: training what is above, on what it gives there, {source}")
        self._kept = [(part, shelf.keep(part)) for part in data]

    def data(self, given: Labelled, class_weight: Any) -> Data:
        """Return the states at the boundary and targets."""
        kept = next(kept for part, kept in self._kept if part is given)
        tell_skipped(given, kept.skipped, self.say)
        y, weight = make_targets(self.model, given, kept.rows, class_weight)
        rows = BoundaryRows(
            self.boundary, kept.values, kept.items, np.arange(len(y)), y.device, kept.lengths if self.pieces else None
        )
        return Data(BoundaryBatches(rows, self.batch_size), y, weight)


class InTheLoop:
    """A phase in which every batch goes through the whole model.

    Parameters
    ----------
    model
        What learns.
    train_data
        Whose samples are augmented, and no others.
    batch_size
        Samples at a time where nothing is learnt.
    augment
        Changes a sample when it is drawn, or None.
    say
        Told what is done, and which samples cannot be used.
    why
        Said too: why the backbone's frozen part runs as well.
    pieces
        Whether texts run in pieces of similar lengths, on a CPU.
    """

    def __init__(
        self,
        model: FeatureBasedModel,
        train_data: Labelled,
        batch_size: int,
        augment: Augment | None,
        say: Say,
        why: str = "",
        pieces: bool = True,
    ) -> None:
        self.pieces = pieces and may_be_cut(model.backbone)
        self.model, self.batch_size, self.augment, self.say = model, batch_size, augment, say
        self.module = model
        self._train_data = train_data
        reason = "samples are augmented" if augment else "parts of the backbone learn"
        say(f"{reason}: training with the whole model in the loop{why and f' ({why})'}")

    def data(self, given: Labelled, class_weight: Any) -> Data:
        """Return raw samples and targets."""
        usable = usable_rows(self.model, given)
        tell_skipped(given, usable.skipped, self.say)
        y, weight = make_targets(self.model, given, usable.rows, class_weight)
        augment = self.augment if given is self._train_data else None
        collate = collate_in_pieces(self.model.adapted("pieces")) if self.pieces else collate_for(self.model.backbone)
        return Data(SampleBatches(collate, usable.samples, self.batch_size, augment), y, weight)


def choose_phase(
    model: FeatureBasedModel,
    train_data: Labelled,
    eval_data: Labelled | None,
    batch_size: int,
    augment: Augment | None = None,
    cache: bool = True,
    say: Say = print,
    progress: Any = None,
    pieces: bool = True,
) -> Phase:
    """Return the way that computes least and gives what the whole model in the loop would.

    Parameters
    ----------
    model, train_data, eval_data, batch_size, augment, say, progress, pieces
        As for the phases.
    cache
        Whether what a frozen part gives may be kept where others learn.
    """
    if augment is not None:
        return InTheLoop(model, train_data, batch_size, augment, say, pieces=pieces)
    if model.is_frozen:
        return ThroughCache(model, train_data, batch_size, say)
    why = ""
    if cache:
        data = [train_data] if eval_data is None else [train_data, eval_data]
        try:
            return FromBoundary(model, data, batch_size, say, progress, pieces)
        except CannotSplitError as error:
            why = f"not split: {error}"
        except (NoRoomError, StoreError) as error:
            why = f"what is frozen is not kept: {error}"
    return InTheLoop(model, train_data, batch_size, None, say, why, pieces)


def make_targets(
    model: FeatureBasedModel, given: Labelled, rows: np.ndarray, class_weight: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the targets (codes `[m]`, or `[m, c]`) and weights `[m]` of some samples, on the model's device."""
    parameter = next(model.classifier.parameters())
    kept, objective = given.take(rows), model.objective
    targets = objective.encode(kept.labels or (), kept.places)
    weight = objective.weights(targets, class_weight)
    y = torch.as_tensor(targets, device=parameter.device)
    return y if y.ndim == 1 else y.to(parameter.dtype), torch.as_tensor(weight, dtype=torch.float32, device=parameter.device)


def tell_skipped(given: Labelled, skipped: dict[int, str], say: Say) -> None:
    """Say in a line how many samples are left out, with the first one's place and reason."""
    if skipped:
        row, reason = next(iter(sorted(skipped.items())))
        say(f"{len(skipped)} of {len(given)} samples cannot be used, the first at {given.samples.ids[row]}: {reason}")
