"""What a config may say of a backbone: which, how it is used and run, and what is kept of it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class Part(BaseModel):
    """A part of a config: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ViewChoice(Part):
    """Augmented views of every image that is trained on, besides the image itself, and what heads do with them."""

    count: int = Field(ge=1)
    seed: int = Field(0, ge=0)
    policy: Literal["flip-crop", "randaugment", "augmix"] = "flip-crop"
    use: Literal["sample", "average"] = Field(
        "sample",
        description="sample: train on every view, with its image's label; average: on the mean of an image's views",
    )
    test: Literal["plain", "average"] = Field(
        "plain", description="what is validated, tested and predicted on: the image itself, or the mean of its views"
    )


class Backbone(Part):
    """A backbone and how it is used."""

    name: str
    max_length: int | None = Field(None, gt=1)
    prompt: str | None = None
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    dtype: Literal["float32", "float16"] = "float32"
    window_overlap: int | None = Field(None, ge=0, description="read long texts in windows that share so many tokens")
    trust_remote_code: bool = False
    image_size: int | None = Field(None, gt=0, description="height and width that images are brought to")
    mean: list[float] | None = Field(None, description="what is subtracted from red, green and blue, from 0 to 1")
    std: list[float] | None = Field(None, description="what red, green and blue are divided by")
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] | None = None
    crop_fraction: float | None = Field(None, gt=0, le=1, description="share of the resized side that the middle crop keeps")
    resize_mode: Literal["shortest", "squash", "longest"] | None = None
    tokenizer: str | None = Field(None, description="name or folder of another tokenizer")
    lowercase: bool = Field(False, description="whether texts are turned to lower case first")
    truncation_side: Literal["right", "left"] | None = Field(None, description="where a text that is too long is cut")
    views: ViewChoice | None = None


class Loop(Part):
    """How backbones are run: nothing here changes a feature but by rounding."""

    budget: PositiveInt | Literal["auto"] | None = Field(
        None, description="most tokens, padding included, or images in a batch; auto: measured once"
    )
    workers: int | None = Field(None, ge=0, description="processes that decode images")
    compile: bool = False
    channels_last: bool = False


class EngineChoice(Part):
    """Where backbones are run: nothing here changes a feature but by rounding."""

    kind: Literal["local", "torchrun", "ray"] = "local"
    processes: PositiveInt | None = Field(
        None, description="processes that run the backbone; None: one a GPU, or a single one where there is none"
    )
    address: str | None = Field(None, description="of the Ray cluster; None: RAY_ADDRESS, this machine's, or a new one")


class OutputChoice(Part):
    """Layers and poolings to keep."""

    layer: Literal["all", "last"] | int | list[int] = "last"
    pooling: str | list[str] | None = None
    dtype: Literal["float32", "float16"] | None = None
