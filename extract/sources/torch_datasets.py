"""torch map-style data sets (anything with `__len__` and `__getitem__`) whose items are images, with or without a label."""

from collections.abc import Sequence
from typing import Any

from extract.errors import SourceError
from extract.images import DatasetItem, image_keys
from extract.samples import Samples

_ASKED_TWICE = 16


def samples_of_dataset(dataset: Any) -> Samples:
    """Take the samples of a data set whose items are `(image, label)`, an image, or a mapping with `image` and `label`.

    Labels come from the data set's `targets` where it has them, else from its items; whole numbers become names by its
    `classes`. The first items are asked for twice: a data set that gives another image each time has no cacheable features.

    Raises
    ------
    SourceError
        If the items are no images, or change.
    """
    name = type(dataset).__name__
    items = [DatasetItem(dataset, index) for index in range(len(dataset))]
    first, again = image_keys(items[:_ASKED_TWICE]), image_keys(items[:_ASKED_TWICE])
    if first != again:
        raise SourceError(f"{name}: gives another image each time it is asked; take its random transform off")
    reasons = [key for key in first if isinstance(key, str)]
    if reasons and len(reasons) == len(first):
        raise SourceError(f"{name}: its items are no images: {reasons[0]}")
    return Samples(name, items, [str(item.index) for item in items], _labels(dataset))


def _labels(dataset: Any) -> Sequence[str | None] | None:
    targets = getattr(dataset, "targets", None)
    if targets is None:
        targets = [_label_of(dataset[index]) for index in range(len(dataset))]
    classes = getattr(dataset, "classes", None)
    names = [_name(target, classes) for target in (targets.tolist() if hasattr(targets, "tolist") else targets)]
    return None if all(label is None for label in names) else names


def _label_of(item: Any) -> Any:
    if isinstance(item, dict):
        return item.get("label")
    return item[1] if isinstance(item, tuple | list) and len(item) > 1 else None


def _name(target: Any, classes: Any) -> str | None:
    if hasattr(target, "item"):
        target = target.item()
    if isinstance(classes, list | tuple) and isinstance(target, int) and 0 <= target < len(classes):
        return str(classes[target])
    return None if target is None else str(target)
