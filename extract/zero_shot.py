"""Zero-shot class embeddings: the classes' names, put into templates, through the text tower of a contrastive backbone."""

from collections.abc import Callable, Sequence

import numpy as np

from cache import FeatureStore
from extract.backbones.spec import BackboneSpec
from extract.errors import BackboneError
from extract.extractor import extract

TEMPLATES = ("a photo of a {}.",)


def zero_shot_weights(
    backbone: str | BackboneSpec,
    classes: Sequence[str],
    templates: Sequence[str | Callable[[str], str]] = TEMPLATES,
    store: FeatureStore | str = "features",
    *,
    device: str = "auto",
) -> np.ndarray:
    """Embed classes by their names; an image's class is the row with which its `normalised` feature has the largest product.

    Every template's embedding is brought to length 1; a class's is their mean, brought to length 1 again, as in Radford et
    al., Learning Transferable Visual Models From Natural Language Supervision, 2021.

    Parameters
    ----------
    backbone
        A model with a text tower: `open_clip:ViT-B-32/laion2b_s34b_b79k`, `hf:openai/clip-vit-base-patch32`, ...
    classes
        Names of `c` classes.
    templates
        Texts with `{}` where the name goes, or functions of the name, such as `open_clip.OPENAI_IMAGENET_TEMPLATES`.
    store
        Where the embeddings of texts are cached.
    device
        As for `extract`.

    Returns
    -------
    np.ndarray
        `[c, d]` float32, rows of length 1.

    Raises
    ------
    BackboneError
        If the backbone has no text tower in a space with images, or there is nothing to embed.
    """
    if not classes or not templates:
        raise BackboneError("zero-shot weights need at least one class and one template")
    texts = [_fill(template, name) for name in classes for template in templates]
    features = extract(texts, backbone, store, "normalised", device=device, keep_table=False)
    if features.skipped:
        raise BackboneError(f"{texts[features.skipped[0].row]!r} cannot be embedded: {features.skipped[0].reason}")
    each = np.asarray(features.array(), np.float32).reshape(len(classes), len(templates), -1)
    mean = each.mean(axis=1)
    return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True))


def _fill(template: str | Callable[[str], str], name: str) -> str:
    return template.format(name) if isinstance(template, str) else template(name)
