"""What a config may say of gradual unfreezing: the phases, and how each trains."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from pipelines.backbone_config import Part
from pipelines.metric_names import Metric


class UnfreezePhase(Part):
    """What learns from a phase on, besides what did before it, and how it is trained."""

    layers: list[int | str] | Literal["all"] | None = Field(
        None, description="parts by name or its end (`layer.11`), or by block number (11; -1 is the topmost); None: no more"
    )
    top: PositiveInt | None = Field(None, description="so many blocks from the top, in the place of `layers`")
    epochs: PositiveInt = 3
    lr: PositiveFloat | None = Field(None, description="of the topmost block, or of the head while all blocks are frozen")
    head_lr: PositiveFloat | None = Field(None, description="of the head; None: ten times `lr`, 1e-3 at most")
    decay: float = Field(0.9, gt=0, le=1, description="a block's learning rate, as a share of the one above it")
    rates: dict[str, PositiveFloat] = Field(default_factory=dict, description="learning rates of parts of their own")
    schedule: Literal["constant", "cosine", "linear", "one_cycle"] = "cosine"
    patience: PositiveInt | None = Field(None, description="epochs without a better validation after which the phase ends")

    @model_validator(mode="after")
    def _one_way(self) -> "UnfreezePhase":
        if self.layers is not None and self.top is not None:
            raise ValueError("give either `layers` or `top`")
        return self


class UnfreezeChoice(Part):
    """How a backbone is unfrozen."""

    phases: list[UnfreezePhase] | None = Field(
        None, min_length=1, description="None: the head, then the top blocks, then as many below them"
    )
    lr: PositiveFloat = Field(1e-3, description="of the head, at most")
    batch_size: PositiveInt = 32
    weight_decay: float = Field(0.01, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weight: Literal["balanced"] | None = None
    metric: Literal[Metric, "loss"] | None = Field(
        None,
        description="what says which epoch and phase are the best; None: accuracy, f1_macro for several labels, r2 for numbers",
    )
    validation: float = Field(0.1, gt=0, lt=1, description="share of the samples that is watched, where no split is")
    augment: Literal["flip-crop", "randaugment", "augmix"] | None = Field(None, description="of images; nothing is cached then")
    cache: bool = Field(True, description="whether what the frozen blocks give is kept in the store")
    seed: int = Field(0, ge=0)


FEW_BLOCKS = 4
"""Up to so many blocks one is unfrozen at a time, and two of more."""


def default_phases(blocks: int) -> list[UnfreezePhase]:
    """Return the phases of a backbone of so many blocks: head first, then twice the topmost that are still frozen."""
    step = 1 if blocks <= FEW_BLOCKS else 2
    phases = [{"epochs": 5}, {"top": step, "epochs": 3, "lr": 2e-5}, {"top": 2 * step, "epochs": 2, "lr": 1e-5}]
    made = [UnfreezePhase.model_validate(phase) for phase in phases]
    return [phase for phase in made if (phase.top or 0) < max(blocks, 1)]
