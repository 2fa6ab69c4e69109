"""What a config may say of a comparison with fine-tuning: which methods, how much each may try, on how many samples."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from pipelines.backbone_config import Part

Method = Literal["features", "layers", "full", "partial", "lpft", "lora"]

METHODS: dict[Method, str] = {
    "features": "cached features",
    "layers": "cached features of several layers",
    "full": "full fine-tuning",
    "partial": "fine-tuning of the top blocks",
    "lpft": "linear probe, then fine-tuning",
    "lora": "LoRA",
}
"""Method -> what it is, for people."""

CACHED: tuple[Method, ...] = ("features", "layers")
"""The methods that never run the backbone while they train."""


class CompareChoice(Part):
    """How cached features are compared with fine-tuning."""

    methods: list[Method] | None = Field(None, min_length=1, description="None: all, LoRA where `peft` is installed")
    seeds: PositiveInt = Field(3, description="repetitions, each with its own validation part, batches and initial head")
    trials: PositiveInt = Field(3, description="learning rates (of cached features penalties) that every method tries")
    search: Literal["each", "first"] = Field("each", description="first: other seeds take what the first one chose")
    learning_rates: dict[Method, list[PositiveFloat]] = Field(default_factory=dict, description="instead of a method's own")
    penalties: list[PositiveFloat] | None = Field(None, description="values of `C` for cached features, instead of their own")
    sizes: list[PositiveInt | Literal["all"]] = Field(["all"], min_length=1, description="training samples a class")
    validation: float = Field(0.2, gt=0, lt=1, description="share of the samples that stop and choose, where none are given")
    epochs: PositiveInt | None = Field(None, description="most passes over the training samples; None: 10, on few samples more")
    patience: PositiveInt = Field(3, description="epochs without a better validation after which training stops")
    min_steps: PositiveInt = Field(
        200, description="patience, and `epochs` where they are not named, grow on few samples until there are so many"
    )
    batch_size: PositiveInt = 32
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    schedule: Literal["linear", "cosine"] = "linear"
    layer_decay: float = Field(0.9, gt=0, le=1, description="a block's learning rate, as a share of the one above it")
    top_blocks: PositiveInt = Field(2, description="blocks that `partial` trains")
    rank: PositiveInt = Field(8, description="of LoRA's matrices")
    augment: Literal["flip-crop", "randaugment", "augmix"] | None = Field(None, description="of images that are fine-tuned on")

    @field_validator("learning_rates")
    @classmethod
    def _tuned_only(cls, value: dict[Method, list[float]]) -> dict[Method, list[float]]:
        if cached := [method for method in value if method in CACHED]:
            raise ValueError(f"`{cached[0]}` has no learning rate; name its `penalties`")
        return value

    @field_validator("sizes", mode="after")
    @classmethod
    def _in_order(cls, value: list[int | Literal["all"]]) -> list[int | Literal["all"]]:
        return sorted(set(value), key=lambda size: float("inf") if size == "all" else float(size))

    @model_validator(mode="after")
    def _equal_effort(self) -> "CompareChoice":
        given = {"penalties": self.penalties} | {f"learning_rates.{name}": rates for name, rates in self.learning_rates.items()}
        for name, values in given.items():
            if values is not None and len(set(values)) != self.trials:
                raise ValueError(f"`{name}` holds {len(set(values))} values; every method tries `trials: {self.trials}`")
        return self
