"""`extract`: samples in, cached features out. Runs the backbone only over what the store lacks."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cache import FeatureStore, Ragged, Recipe, StoreError, Table
from cache.keys import sortable
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.custom import CustomBackbone
from extract.backbones.find_tokenizer import find_tokenizer
from extract.backbones.imported import SCHEME, refuse_settings
from extract.backbones.registry import find_backbone
from extract.backbones.spec import BackboneSpec, check_settings, overrides
from extract.devices import check_device, choose_precision
from extract.engine import Engine
from extract.errors import BackboneError, BadSampleError, NoSuchBackboneError
from extract.options import LoopOptions
from extract.outcome import Truncation
from extract.outputs import parse_outputs
from extract.place import Here, find_place
from extract.quiet import Quiet
from extract.samples import Admitted, Samples, Skipped
from extract.sharing import Team
from extract.views import Rows, Views

EXTRACTOR_VERSION = 1
"""Raised when the same inputs would come to have other features."""


@dataclasses.dataclass(frozen=True)
class Features:
    """The features of a data set, in the store.

    Attributes
    ----------
    store, recipe
        Where they are and what made them.
    outputs
        Names of the outputs that were asked for, such as `pooled` or `layer6.mean`.
    keys
        `[m, 16]` uint8, the sample keys of the usable samples.
    rows
        `[m]`, their positions among all `samples`: `labels[features.rows]` fits `features.array()`.
    skipped
        The samples without features, and why.
    samples, cached, extracted
        All samples; those whose features were there (or came twice); those that ran through the backbone.
    backbone_loaded
        Whether the backbone had to be loaded.
    seconds
        Wall time of the call.
    truncation
        How much was cut off the texts that ran through the backbone.
    views
        Which augmented views were extracted too; `cached` and `extracted` count every view.
    viewed
        `[m]`, the usable samples that have views; None where all have.
    """

    store: FeatureStore
    recipe: Recipe
    outputs: tuple[str, ...]
    keys: np.ndarray
    rows: np.ndarray
    skipped: list[Skipped]
    samples: int
    cached: int
    extracted: int
    backbone_loaded: bool
    seconds: float
    truncation: Truncation = dataclasses.field(default_factory=Truncation)
    views: Views | None = None
    viewed: np.ndarray | None = None

    @property
    def view_keys(self) -> np.ndarray:
        """The keys `[m, v, 16]` of the views of every usable sample that has them; view 0 is the plain sample."""
        keys = self.keys if self.viewed is None else self.keys[self.viewed]
        return keys[:, None] if self.views is None else self.views.keys(keys)

    def by_view(self, output: str | None = None) -> np.ndarray:
        """Return the features `[m, v, d]` of all views of the usable samples that have them; view 0 is the plain sample's."""
        keys = self.view_keys
        found = self.store.read(self.recipe, keys.reshape(-1, keys.shape[2]), output or self.outputs[0])
        if not isinstance(found, np.ndarray):
            raise BackboneError(f"{output or self.outputs[0]}: tokens have no array by view; read them with `view_keys`")
        return found.reshape(*keys.shape[:2], found.shape[1])

    def array(self, output: str | None = None) -> np.ndarray | Ragged:
        """Return the features `[m, d]` of the usable samples in order, tokens as `Ragged`; by default the first output's."""
        return self.store.read(self.recipe, self.keys, output or self.outputs[0])


def extract(
    samples: Samples | Sequence[Any],
    backbone: "str | CustomBackbone | BackboneSpec | Mapping[str, Any]",
    store: FeatureStore | str = "features",
    outputs: Any = None,
    *,
    device: str = "auto",
    options: LoopOptions | None = None,
    engine: Engine | str | Here = "local",
    strict: bool = False,
    keep_table: bool = True,
    progress: Any = None,
    viewed: Sequence[bool] | np.ndarray | None = None,
    loaded: dict[str, Any] | None = None,
) -> Features:
    """Make sure that the store holds the features of every sample, and return them.

    Parameters
    ----------
    samples
        Texts, or what a source gives.
    backbone
        URI or well-known name (`all-MiniLM-L6-v2`, `hf:bert-base-uncased`, `st:/models/mine`), a `custom_backbone`, or a
        `BackboneSpec` of any of these with its settings, or such settings as in a config: `{"name": ..., "max_length": 128}`.
    store
        The feature store or its folder.
    outputs
        What to keep: None for the backbone's default, or `{"layer": "all", "pooling": ["cls", "mean"]}` and the like;
        see `extract.outputs.parse_outputs`.
    device
        `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
    options
        How to run the backbone: size of batches, worker processes, ...
    engine
        Where to run it: an `Engine`, its name, or this process as a place. Ranks that `torchrun` or `srun` has started are
        recognised in any case.
    strict
        Raise on the first sample that cannot be used, before anything is computed, instead of skipping it.
    keep_table
        Have the store keep a table of these samples, which says that their features are still wanted.
    progress
        A `Progress` that is told how it goes.
    viewed
        One per sample: whether it is to have the backbone's augmented views, as a sample does that is trained on. By default
        all do.
    loaded
        Backbones that stay loaded from one call to the next: give every call the same dict, empty at first.

    Raises
    ------
    BackboneError
        If the backbone cannot be found or loaded, or has no such output.
    BadSampleError
        If `strict` and a sample is unusable.
    StoreError
        If the store cannot be read or written.
    """
    began = time.monotonic()
    samples = samples if isinstance(samples, Samples) else Samples.of(samples)
    spec = BackboneSpec.of(backbone)
    store = store if isinstance(store, FeatureStore) else FeatureStore(store)
    place = find_place(engine)
    progress = progress if progress is not None and place.rank.number == 0 else Quiet()
    samples, checkpoint = match_samples(samples, spec)
    kind = checkpoint.offer.takes
    title = spec.backbone if isinstance(spec.backbone, str) else checkpoint.uri
    asked = parse_outputs(outputs, checkpoint.offer, spec.dtype, f"outputs of {title}")
    names = tuple(output.name for output in asked)
    if isinstance(place, Here):
        check_device(device)  # as it was named: nothing is asked of a GPU where all is cached
    device = place.device(device)
    recipe = make_recipe(checkpoint, spec, settle_precision(checkpoint, spec, device, place.precision))

    admitted = samples.admit(kind)
    skipped = admitted.skipped
    if strict and skipped:
        refuse(skipped)
    chosen = np.ones(len(admitted.keys), bool) if viewed is None else np.asarray(viewed, bool)[admitted.rows]
    wanted = Rows.plain(admitted.keys) if spec.views is None else spec.views.of(admitted.keys, chosen)
    keys = wanted.keys
    with store.lease(recipe) as lease:
        job = place.job(store, recipe, lease, checkpoint, spec, device, options or LoopOptions(), asked, progress, loaded)
        unkept = _keep_tables(store, samples, admitted, wanted) if keep_table and len(keys) else None
        missing = store.missing(recipe, keys, names)
        todo = _first_occurrences(keys, missing)
        if not len(todo):  # else the first commit looks after it
            store.mend(recipe)
        if unkept is not None and len(todo):
            raise unkept
        absent = int(missing.sum())
        own = int(place.rank.owns(keys[todo]).sum())
        progress.start(checkpoint.uri, len(keys) - absent, own, absent - len(todo))
        team = Team(place.rank, store, recipe, lease, keys, names, progress.wait, lambda: job.outcome)
        try:
            turns = team.turns(todo) if place.claims else [todo] if len(todo) else []
            for now in turns:
                job.run([_view(samples.inputs[admitted.rows[wanted.owners[at]]], spec, wanted, at) for at in now], keys[now])
            outcome = team.together()
        finally:
            progress.finish()
    refused = outcome.refused
    usable = np.ones(len(admitted.keys), bool)
    for position, reason in _refused_samples(wanted, refused).items():
        usable[position] = False
        row = int(admitted.rows[position])
        skipped.append(Skipped(row, samples.ids[row], reason))
    if strict and skipped:
        refuse(skipped)
    return Features(
        store=store,
        recipe=recipe,
        outputs=names,
        keys=admitted.keys[usable],
        rows=admitted.rows[usable],
        skipped=sorted(skipped, key=lambda entry: entry.row),
        samples=len(samples),
        cached=max(0, int(usable[wanted.owners].sum()) - outcome.samples + len(refused)),
        extracted=outcome.samples - len(refused),
        backbone_loaded=job.backbone_loaded,
        seconds=time.monotonic() - began,
        truncation=outcome.truncation,
        views=spec.views,
        viewed=None if viewed is None else chosen[usable],
    )


def _keep_tables(store: FeatureStore, samples: Samples, admitted: Admitted, wanted: Rows) -> StoreError | None:
    """Have the store keep that these samples, and their views, are wanted; before anything is looked for, so that nobody
    removes what is about to be needed. Return the reason if it cannot, which matters only where something is to be extracted.
    """
    table = samples.table(admitted)
    try:
        store.write_table(table)
        if len(wanted.keys) > len(table.keys):
            pairs = zip(wanted.owners.tolist(), wanted.numbers.tolist(), strict=True)
            ids = [f"{table.ids[owner]} view {number}" for owner, number in pairs]
            store.write_table(Table(f"{table.name} views", wanted.keys, ids, origin=table.origin))
    except StoreError as error:
        return error
    return None


def match_samples(samples: Samples, spec: BackboneSpec) -> tuple[Samples, Checkpoint]:
    """Find the backbone and the part of it that takes such samples; for one of images alone, texts are paths."""
    checkpoint = find_backbone(spec.backbone)
    kind = samples.kind or checkpoint.offer.takes
    if kind == "text" and checkpoint.offer.to("text") is None and checkpoint.offer.to("image") is not None:
        samples, kind = samples.as_files(), "image"
    if spec.views is not None and kind == "text":
        raise NoSuchBackboneError(f"{spec.backbone}: views are of images, and the samples are texts; leave out `views`")
    checkpoint = checkpoint.for_samples(kind)
    refuse_settings(spec, checkpoint)
    check_settings(checkpoint, spec)
    return samples, checkpoint


def _refused_samples(wanted: Rows, refused: Mapping[bytes, str]) -> dict[int, str]:
    """Return the position of every sample of which a view was refused, and the first reason."""
    found: dict[int, str] = {}
    if refused:
        for owner, key in zip(wanted.owners.tolist(), wanted.keys, strict=True):
            if (reason := refused.get(key.tobytes())) is not None:
                found.setdefault(owner, reason)
    return found


def make_recipe(checkpoint: Checkpoint, spec: BackboneSpec, precision: str) -> Recipe:
    """Put together all that determines the features of a backbone used in a certain way."""
    preprocessing: dict[str, Any] = {"settings": checkpoint.settings}
    if checkpoint.offer.takes != "image":
        preprocessing |= {"max_length": spec.max_length, "prompt": spec.prompt}
    if checkpoint.offer.takes != "text":
        preprocessing |= {"image_size": spec.image_size}
    if spec.views is not None:
        preprocessing |= {"views": spec.views.policy}
    if checkpoint.offer.others:
        preprocessing |= {"takes": checkpoint.offer.takes}
    if checkpoint.boundary is not None:
        preprocessing |= {"boundary": checkpoint.boundary}
    preprocessing |= overrides(
        spec, "window_overlap", "mean", "std", "interpolation", "crop_fraction", "resize_mode", "truncation_side"
    )
    if spec.tokenizer is not None:
        preprocessing["tokenizer"] = find_tokenizer(spec.tokenizer).identity
    if spec.lowercase:
        preprocessing["lowercase"] = True
    if spec.trust_remote_code:
        preprocessing["trust_remote_code"] = True
    return Recipe(
        backbone=checkpoint.uri,
        revision=checkpoint.revision,
        weights=checkpoint.weights,
        preprocessing=preprocessing,
        precision=precision,
        dtype=spec.dtype,
        extractor=EXTRACTOR_VERSION,
    )


def settle_precision(
    checkpoint: Checkpoint, spec: BackboneSpec, device: str, choose: Callable[[str, str], str] = choose_precision
) -> str:
    """Return the arithmetic of the forward pass on a device.

    What was imported depends on no device, and an ONNX file computes as it was written: both go by the name of `float32`.
    """
    if checkpoint.scheme == "onnx" and spec.precision not in ("auto", "float32"):
        raise NoSuchBackboneError(f"{checkpoint.uri}: an ONNX file computes as it was written; leave out `precision`")
    return "float32" if checkpoint.scheme in ("onnx", SCHEME) else choose(spec.precision, device)


def _view(sample: Any, spec: BackboneSpec, wanted: Rows, row: int) -> Any:
    return sample if spec.views is None else spec.views.view(sample, int(wanted.numbers[row]), wanted.keys[row].tobytes())


def _first_occurrences(keys: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the positions where `mask` holds, without those whose key came before."""
    positions = np.flatnonzero(mask)
    _, first = np.unique(sortable(keys[positions]), return_index=True)
    return positions[np.sort(first)]


def refuse(skipped: Sequence[Skipped]) -> None:
    """Raise `BadSampleError` for samples that cannot be used."""
    first = skipped[0]
    more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
    raise BadSampleError(f"{first.id}: {first.reason}{more}; mend or remove it, or leave out --strict to skip it")
