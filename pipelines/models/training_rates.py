"""How a trainer trains: the plan, and the learning rates of what learns by depth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from heads.plan import TrainingPlan
from pipelines.errors import UsageError
from pipelines.models.freezing import LAYER_DECAY, rates_by_depth
from pipelines.models.model import FeatureBasedModel

BACKBONE_RATE = 2e-5
"""Learning rate of a backbone's top block where none is given: what encoders are fine-tuned at (Devlin et al. 2019)."""

WARMUP, CLIP = 0.1, 1.0
"""Share of steps in which the rate rises, and bound on the gradients' norm, where a part of the backbone learns."""


@dataclass(frozen=True)
class Rates:
    """Learning rates of one call of `train`.

    Attributes
    ----------
    top
        Of the backbone's topmost block, or while all of it is frozen the classifier's; None: the usual ones.
    head
        The classifier's; None: from `top`.
    decay
        What a block's is to that of the block above it.
    own
        Of parts by name.
    """

    top: float | None = None
    head: float | None = None
    decay: float = LAYER_DECAY
    own: Mapping[str | int, float] = field(default_factory=dict)


def check_positive(**given: float | None) -> None:
    """Raise `UsageError`, with the argument's name, for a number that is not above 0."""
    for name, value in given.items():
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{name} is {value!r}; it must be a number above 0")


def check_counts(**given: int | None) -> None:
    """Raise `UsageError`, with the argument's name, for a number that is not 1 or more."""
    for name, value in given.items():
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value!r}; it must be at least 1")


def plan_training(
    model: FeatureBasedModel, rates: Rates, most: float, epochs: int, **settings: Any
) -> tuple[TrainingPlan, list[dict[str, Any]] | None]:
    """Return the plan of a training, and an optimizer's groups where parts of the backbone learn.

    Parameters
    ----------
    model
        What learns in it learns at rates by depth.
    rates
        As asked for.
    most
        The classifier's rate where none is given, and its highest where parts of the backbone learn too.
    epochs
        Passes over the data.
    settings
        Of the `TrainingPlan` besides.

    Raises
    ------
    UsageError
        If a rate is given for what does not learn.
    """
    learns, groups = not model.is_frozen, None
    head = rates.head or rates.top or most
    if learns:
        top = rates.top or BACKBONE_RATE
        head = rates.head or min(most, 10 * top)
        own = [parameter for parameter in model.classifier.parameters() if parameter.requires_grad]
        groups = [{"params": own, "lr": head}, *rates_by_depth(model.backbone, top, rates.decay, rates.own)]
    elif rates.own:
        raise UsageError("layer_rates are of parts that learn, and the backbone is frozen; call unfreeze_layers first")
    plan = TrainingPlan(
        lr=head, max_epochs=epochs, warmup=WARMUP if learns else 0.0, clip_norm=CLIP if learns else None, **settings
    )
    return plan, groups
