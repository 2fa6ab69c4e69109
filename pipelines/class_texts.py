"""What a zero-shot head is given: names of classes in templates, through the text tower beside the images' own."""

from typing import TYPE_CHECKING, Any

from extract import BackboneSpec, find_backbone, zero_shot_weights
from extract.extractor import Features
from extract.zero_shot import TEMPLATES
from pipelines.backbone_config import Backbone
from pipelines.combinations import Combination
from pipelines.config import Config, Head
from pipelines.errors import UsageError

if TYPE_CHECKING:  # which stands on the extraction that asks here for the output
    from pipelines.task import Task

OUTPUT = "normalised"
"""The output of images that lies in one space with texts."""


def check_templates(config: Config) -> None:
    """See that templates stand at heads that take them, and that a class's name has a place in each.

    Raises
    ------
    UsageError
        With the line of a head whose templates are wrong.
    """
    for number, head in enumerate(config.heads):
        where = config.where("heads", number, "templates")
        if head.templates is not None and head.kind != "zero_shot":
            raise UsageError(f"{where}: `templates` are for heads of `kind: zero_shot`, and this is {head.kind}")
        for template in head.templates or ():
            try:
                has_place = template.format("one") != template.format("two")
            except (IndexError, KeyError, ValueError):
                has_place = False
            if not has_place:
                raise UsageError(f"{where}: {template!r} has to hold one {{}}, where a class's name goes")
        if head.templates is None:
            continue
        if not any(has_texts(backbone.name) for backbone in config.backbones):
            raise UsageError(
                f"{where}: no backbone here has images and texts in one space, as open_clip's, CLIP and SigLIP have"
            )
        if head.outputs not in (None, OUTPUT, [OUTPUT]):
            raise UsageError(f"{where}: texts are compared with the output `{OUTPUT}`; leave `outputs` of this head out")


def class_embeddings(
    head: Head, backbone: Backbone, features: Features, outputs: Combination, task: "Task", device: str
) -> dict[str, Any]:
    """Return `embeddings [c, d]` and `classes [c]` for a zero-shot head on images; nothing for other heads and features.

    Underscores in the names of classes, as folders have them, are read as spaces. The embeddings are cached in the store.
    """
    if head.kind != "zero_shot" or outputs != (OUTPUT,) or task.kind != "classification" or not has_texts(backbone.name):
        return {}
    classes = task.classes.tolist()
    spec = BackboneSpec(backbone.name, precision=backbone.precision, trust_remote_code=backbone.trust_remote_code)
    names = [name.replace("_", " ") for name in classes]
    embeddings = zero_shot_weights(spec, names, head.templates or TEMPLATES, features.store, device=device)
    return {"embeddings": embeddings, "classes": classes}


def has_texts(backbone: str) -> bool:
    """Tell whether a backbone takes images, and has a tower for texts in one space with them."""
    offer = find_backbone(backbone).offer
    texts = offer.to("text")
    return offer.takes == "image" and texts is not None and OUTPUT in texts.own
