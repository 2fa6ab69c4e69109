"""How to train: the settings of a training, checked."""

import difflib
from dataclasses import dataclass

from heads.schedules import OPTIMIZERS, SCHEDULES


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Attributes
    ----------
    lr, weight_decay
        Highest learning rate, and weight decay: AdamW's and SGD's; for L-BFGS half the parameters' squared norm in the loss.
    batch_size, max_epochs
        Samples a batch; most passes over the data.
    patience
        Epochs without a better validation after which training stops.
    optimizer, momentum
        `adamw`, `sgd` or `lbfgs` (all samples a step; leave dropout out); the momentum of SGD.
    schedule, warmup, factor, every
        See `make_schedule`.
    clip_norm
        Largest norm of all gradients together, or None.
    accumulate
        Batches a step; their gradient is that of one large batch.
    mixup
        Alpha of the Beta distribution from which shares are drawn; 0 for none.
    ema
        Decay, by step, of a moving average of the weights, which is then what is validated and kept; 0 for none.
    checkpoint
        Folder for a checkpoint after every epoch. The same training, begun again, goes on from there, to the same bits.

    Raises
    ------
    ValueError
        If a value cannot be used.
    """

    lr: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    patience: int
    optimizer: str = "adamw"
    momentum: float = 0.9
    schedule: str = "cosine"
    warmup: float = 0.0
    factor: float = 0.1
    every: int = 10
    clip_norm: float | None = None
    accumulate: int = 1
    mixup: float = 0.0
    ema: float = 0.0
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        for field, value, known in (("optimizer", self.optimizer, OPTIMIZERS), ("schedule", self.schedule, SCHEDULES)):
            if value not in known:
                near = difflib.get_close_matches(str(value), known, n=1)
                hint = f"did you mean `{near[0]}`? " if near else ""
                raise ValueError(f"`{field}` is {value!r}; {hint}it may be {', '.join(known)}")
        for name in ("batch_size", "max_epochs", "patience", "every", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)!r}; it must be at least 1")
        for name in ("warmup", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)!r}; it must be at least 0 and below 1")
        if self.mixup and self.optimizer == "lbfgs":
            raise ValueError("`mixup` draws at every look at the loss, and L-BFGS needs it the same; choose another optimizer")
