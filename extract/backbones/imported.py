"""Imported features: a backbone that is not here, known by the features that somebody else computed with it.

`import:NAME@DIGEST` names one import; the digest is over its samples' keys and features, so other numbers under the same name
are another recipe.
"""

import re
from typing import Any, NoReturn

from extract.backbones.checkpoint import Checkpoint
from extract.backbones.spec import SETTINGS, BackboneSpec
from extract.errors import BackboneError, NoSuchBackboneError
from extract.outputs import OWN, Offer

SCHEME = "import"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGEST = re.compile(r"[0-9a-f]{16}")


def find_imported(name: str, revision: str | None) -> Checkpoint:
    """Identify imported features by their name and digest.

    Raises
    ------
    NoSuchBackboneError
        If either is missing or is none.
    """
    if not _NAME.fullmatch(name):
        raise NoSuchBackboneError(f"{SCHEME}:{name}: a name is made of letters, digits, dots, dashes and underscores")
    if revision is None or not _DIGEST.fullmatch(revision):
        raise NoSuchBackboneError(
            f"{SCHEME}:{name}: which import is not said; write {SCHEME}:{name}@DIGEST as `headstart import` told it"
        )
    others = tuple(Offer(0, OWN, (OWN,), poolings=(), takes=kind) for kind in ("image", "image and text"))
    offer = Offer(0, OWN, (OWN,), poolings=(), takes="text", others=others)
    return Checkpoint(SCHEME, name, name, None, f"{SCHEME}:{revision}", "none", offer)


class ImportedBackbone:
    """Stands where a backbone would be loaded, and cannot be."""

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> NoReturn:
        """Say that what is missing cannot be computed.

        Raises
        ------
        BackboneError
            Always.
        """
        raise BackboneError(
            f"{spec.backbone}: some samples have no imported features, and its model is not known here; "
            "import features of these samples as well (`headstart import`)"
        )


def refuse_settings(spec: Any, checkpoint: Checkpoint) -> None:
    """See that nothing is asked of imported features that only a model could do.

    Raises
    ------
    NoSuchBackboneError
        If a prompt, a length, views or another type is asked for.
    """
    asked = [name for name in (*SETTINGS, "views") if getattr(spec, name) not in (None, False)]
    if checkpoint.scheme == SCHEME and asked:
        raise NoSuchBackboneError(f"{spec.backbone}: `{asked[0]}` cannot be chosen for imported features; leave it out")
