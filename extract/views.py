"""Augmented views of images: seeded, so that a view is the same picture whenever and wherever it is made.

Every sample has view 0, the plain sample, which is stored under the sample's own key; views 1 to `count` are augmented,
before the backbone's own transform, and stored under a key of the sample, the view's number and the seed. The policy is
part of the recipe.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cache import as_key_array, view_key
from extract.errors import NoSuchBackboneError
from extract.images import ImageText

POLICIES = ("flip-crop", "randaugment", "augmix")


@dataclass(frozen=True)
class Views:
    """Which views of every image are extracted.

    Attributes
    ----------
    count
        How many augmented views, besides the plain image; 0 for that alone, under the same recipe.
    seed
        Another seed gives other views.
    policy
        `flip-crop` (a random crop of half to all of the picture's area, mirrored or not), `randaugment` (Cubuk et al. 2020,
        torchvision's defaults) or `augmix` (Hendrycks et al. 2020, torchvision's defaults), both mirrored or not.
    """

    count: int
    seed: int = 0
    policy: str = "flip-crop"

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise NoSuchBackboneError(f"views: {self.policy!r} is not a policy; policies are {', '.join(POLICIES)}")
        if self.count < 0 or self.seed < 0:
            raise NoSuchBackboneError(f"views: neither count {self.count} nor seed {self.seed} may be negative")

    def keys(self, samples: np.ndarray) -> np.ndarray:
        """Return the keys `[n, 1 + count, 16]` of all views of samples with keys `[n, 16]`."""
        keys = (
            [sample.tobytes(), *(view_key(sample.tobytes(), view, self.seed) for view in range(1, self.count + 1))]
            for sample in samples
        )
        return as_key_array(key for views in keys for key in views).reshape(len(samples), 1 + self.count, -1)

    def of(self, samples: np.ndarray, viewed: np.ndarray) -> "Rows":
        """Return what is to be extracted of samples with keys `[n, 16]`: all views where `viewed [n]`, else the plain one."""
        counts = np.where(viewed, 1 + self.count, 1)
        starts = np.cumsum(counts) - counts
        owners = np.repeat(np.arange(len(samples)), counts)
        numbers = np.arange(len(owners)) - starts[owners]
        keys = samples[owners]
        keys[np.asarray(viewed)[owners]] = self.keys(samples[viewed]).reshape(-1, samples.shape[1])
        return Rows(keys, owners, numbers)

    def view(self, sample: Any, number: int, key: bytes) -> Any:
        """Return view `number` of a sample, given the view's key: what a backbone takes in the sample's place."""
        if number == 0:
            return sample
        if isinstance(sample, ImageText):
            return ImageText(self.view(sample.image, number, key), sample.text)
        return View(sample, self.policy, int.from_bytes(key[:8], "little"))


@dataclass(frozen=True)
class Rows:
    """What is to be extracted, a view a row: its key `keys [k, 16]`, whose it is `owners [k]`, and its number `numbers [k]`."""

    keys: np.ndarray
    owners: np.ndarray
    numbers: np.ndarray

    @classmethod
    def plain(cls, samples: np.ndarray) -> "Rows":
        """Return the samples with keys `[n, 16]` themselves."""
        return cls(samples, np.arange(len(samples)), np.zeros(len(samples), np.int64))


@dataclass(frozen=True, slots=True)
class View:
    """An image that is to be augmented in a certain way after it is decoded."""

    image: Any
    policy: str
    seed: int


def augment(picture: Any, policy: str, seed: int) -> Any:
    """Augment an RGB picture; the same seed makes the same picture."""
    import torch
    from torchvision.transforms import v2

    flip = v2.RandomHorizontalFlip()
    transform = {
        "flip-crop": lambda: v2.Compose([v2.RandomResizedCrop((picture.height, picture.width), (0.5, 1.0)), flip]),
        "randaugment": lambda: v2.Compose([v2.RandAugment(), flip]),
        "augmix": lambda: v2.Compose([v2.AugMix(), flip]),
    }[policy]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transform(picture)
