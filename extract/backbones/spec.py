"""How a backbone is to be used: its settings, what values they may have, and which backbones take which. No torch here."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from extract.errors import NoSuchBackboneError
from extract.views import Views

if TYPE_CHECKING:
    from extract.backbones.checkpoint import Checkpoint
    from extract.backbones.custom import CustomBackbone

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
RESIZE_MODES = ("shortest", "squash", "longest")
SIDES = ("right", "left")

_TEXT = ("max_length", "prompt", "tokenizer", "lowercase", "truncation_side")
_IMAGE = ("image_size", "mean", "std", "interpolation", "crop_fraction", "resize_mode")

SETTINGS = (*_TEXT, "window_overlap", *_IMAGE)
"""Settings of preprocessing, of texts and of images."""

_TAKEN: dict[str, tuple[str, ...]] = {
    "hf": (*_TEXT, "window_overlap"),
    "st": (*_TEXT, "window_overlap"),
    "onnx/text": (*_TEXT, "window_overlap"),
    "hf/clip text": _TEXT,
    "open_clip/text": ("prompt", "lowercase"),
    "hf/image": _IMAGE,
    "hf/clip image": _IMAGE,
    "hf/blip image": _IMAGE,
    "timm": _IMAGE,
    "onnx/image": _IMAGE,
    "torchvision": tuple(name for name in _IMAGE if name != "resize_mode"),
    "open_clip/image": tuple(name for name in _IMAGE if name != "crop_fraction"),
}
_TAKEN |= {
    "hf/clip both": (*_TEXT, *_IMAGE),
    "hf/blip both": (*_TEXT, *_IMAGE),
    "open_clip/both": (*_TAKEN["open_clip/text"], *_TAKEN["open_clip/image"]),
}


@dataclass(frozen=True)
class BackboneSpec:
    """Which backbone, and how it is to be used. Every field but `backbone` has the default that fits the backbone.

    Attributes
    ----------
    backbone
        URI such as `hf:bert-base-uncased@main`, `st:/models/mine`, a well-known bare name, or a `custom_backbone`.
    max_length
        Tokens after which a text is cut; None for the backbone's own limit.
    prompt
        Put before every text; None for the backbone's own default.
    precision
        `auto`, `float32`, `bfloat16` or `float16`.
    dtype
        Type of the stored features, `float32` or `float16`.
    window_overlap
        Read a text that is longer than `max_length` in windows of that length, neighbours of which share so many tokens;
        None to cut it.
    trust_remote_code
        Run code that comes with the checkpoint.
    image_size
        Height and width that images are brought to; None for the backbone's own.
    views
        Augmented views of every image that are extracted besides it; None for none.
    mean, std
        What is subtracted from the three channels, from 0 to 1, and what they are divided by then.
    interpolation
        One of `INTERPOLATIONS`.
    crop_fraction
        Share of the resized picture's side that the crop in its middle keeps; 1 to cut off no more than the shape asks for.
    resize_mode
        `shortest` side to the size and the middle cut out, `squash` to a square, or `longest` side to the size and filled up.
    tokenizer
        Name or folder of another tokenizer.
    lowercase
        Whether texts, and the prompt, are turned to lower case first.
    truncation_side
        Where a text that is too long is cut: `right` (its end) or `left`; None as the tokenizer says.
    """

    backbone: "str | CustomBackbone"
    max_length: int | None = None
    prompt: str | None = None
    precision: str = "auto"
    dtype: str = "float32"
    window_overlap: int | None = None
    trust_remote_code: bool = False
    image_size: int | None = None
    views: Views | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    interpolation: str | None = None
    crop_fraction: float | None = None
    resize_mode: str | None = None
    tokenizer: str | None = None
    lowercase: bool = False
    truncation_side: str | None = None

    @classmethod
    def of(cls, backbone: "str | CustomBackbone | BackboneSpec | Mapping[str, Any]") -> "BackboneSpec":
        """Take a backbone, or one with its settings as they stand in a config.

        Raises
        ------
        NoSuchBackboneError
            If a setting has no such name, or no backbone is named.
        """
        if isinstance(backbone, cls):
            return backbone
        if not isinstance(backbone, Mapping):
            return cls(cast("str | CustomBackbone", backbone))
        known = [field.name for field in dataclasses.fields(cls)]
        settings = {"backbone" if name == "name" else name: value for name, value in backbone.items()}
        if odd := [name for name in settings if name not in known]:
            raise NoSuchBackboneError(f"{odd[0]!r} is no setting of a backbone; settings are name, {', '.join(known[1:])}")
        if "backbone" not in settings:
            raise NoSuchBackboneError("a backbone's settings need its `name`")
        return cls(**settings)

    def __post_init__(self) -> None:
        if self.window_overlap is not None and self.window_overlap < 0:
            raise NoSuchBackboneError(f"{self.backbone}: window_overlap {self.window_overlap} is negative")
        if isinstance(self.views, Mapping):  # as it is read back from a saved head
            object.__setattr__(self, "views", Views(**self.views))
        choices = {"interpolation": INTERPOLATIONS, "resize_mode": RESIZE_MODES, "truncation_side": SIDES}
        for name, known in choices.items():
            self._choose(name, known)
        for name in ("mean", "std"):
            self._three(name)
        if self.crop_fraction is not None and not 0 < self.crop_fraction <= 1:
            raise NoSuchBackboneError(f"{self.backbone}: crop_fraction {self.crop_fraction} is not above 0 and at most 1")

    def _choose(self, name: str, known: Sequence[str]) -> None:
        value = getattr(self, name)
        if value is not None and value not in known:
            near = difflib.get_close_matches(str(value), known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"it may be {', '.join(known)}"
            raise NoSuchBackboneError(f"{self.backbone}: {name} {value!r} is not known; {hint}")

    def _three(self, name: str) -> None:
        value = getattr(self, name)
        if value is not None:
            object.__setattr__(self, name, numbers := tuple(map(float, value)))
            if len(numbers) != 3 or (name == "std" and min(numbers) <= 0):
                what = "three numbers above 0" if name == "std" else "three numbers"
                raise NoSuchBackboneError(f"{self.backbone}: {name} {list(numbers)} has to be {what}, one a channel")


def check_settings(checkpoint: "Checkpoint", spec: BackboneSpec) -> None:
    """Refuse settings that a backbone would ignore.

    Raises
    ------
    NoSuchBackboneError
        With the settings that it takes.
    """
    family = checkpoint.offer.family
    taken = _TAKEN.get(f"{checkpoint.scheme}/{family}" if family else checkpoint.scheme, ())
    for name in SETTINGS:
        if getattr(spec, name) not in (None, False) and name not in taken:
            hint = f"settings of its preprocessing are {', '.join(taken)}" if taken else "its preprocessing has no settings"
            raise NoSuchBackboneError(f"{checkpoint.uri}: `{name}` does not apply to it ({checkpoint.offer.takes}); {hint}")


def overrides(spec: BackboneSpec, *names: str) -> dict[str, Any]:
    """Return those of some settings that are given."""
    return {name: getattr(spec, name) for name in names if getattr(spec, name) is not None}
