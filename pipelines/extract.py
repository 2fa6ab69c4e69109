"""Stage 1: a config's samples through its backbones, into the store."""

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache import FeatureStore, StoredTable
from cache.budget import Budget, parse_size
from extract import (
    BackboneSpec,
    Columns,
    Engine,
    Features,
    LoopOptions,
    Request,
    Samples,
    SampleStream,
    Skipped,
    Streamed,
    extract,
    extract_stream,
    find_backbone,
    load_samples,
    stream_samples,
)
from extract.backbones.checkpoint import Checkpoint
from extract.devices import check_device
from extract.errors import NoSuchNameError
from extract.extractor import match_samples
from extract.outputs import Offer, parse_outputs
from pipelines import console
from pipelines.backbone_config import Backbone, ViewChoice
from pipelines.class_texts import OUTPUT, has_texts
from pipelines.config import Config, Data
from pipelines.errors import RunError, UsageError
from pipelines.machine import total_memory
from pipelines.other_precision import find_other_precision
from pipelines.recipe_differences import tell_apart

MOST_SAMPLES_WITH_LAYERS = 100_000
"""Up to so many samples every layer is kept unasked: with 13 layers of width 768 that is 4 GB at most."""


@dataclass(frozen=True)
class Prospect:
    """What is known of an extraction before the first backbone is run.

    Attributes
    ----------
    kept
        Names of what is kept of each backbone.
    samples
        What the source gave; None of a stream.
    rows
        `[m]`, those of the samples that look usable; whether an image can be read is not known yet.
    are_texts
        Whether they are texts, all of which are usable.
    """

    kept: Sequence[Sequence[str]]
    samples: Samples | None = None
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    are_texts: bool = False


@dataclass(frozen=True)
class Extraction:
    """A config's samples and their features, one `Features` per backbone.

    Attributes
    ----------
    views
        Recipe's id -> what heads are to do with the views of its features.
    table
        Name of the table in the store that the samples come from where they were streamed, and None where they are in memory.
        Then `samples` are the rows of the table, with their ids in the place of texts and images.
    memory
        Bytes of features above which heads are trained on them from disk; None for no limit.
    tuned
        Recipe's id -> `RUN/FOLDER` of a backbone that was tuned in a run; all of those have the same name.
    """

    samples: Samples
    features: list[Features]
    seconds: float
    views: Mapping[str, ViewChoice] = field(default_factory=dict)
    table: str | None = None
    memory: int | None = None
    tuned: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str]:
        """Recipe's id -> what tells it from others of the same backbone or name, in a line."""
        apart = tell_apart([features.recipe for features in self.features])
        return {id_: ", ".join(filter(None, (self.tuned.get(id_), told))) for id_, told in apart.items()}

    @property
    def skipped(self) -> list[Skipped]:
        """The samples that at least one backbone has no features of, in the source's order."""
        by_row = {skipped.row: skipped for features in self.features for skipped in features.skipped}
        return [by_row[row] for row in sorted(by_row)]

    def to_json(self) -> dict[str, Any]:
        """Return what `headstart extract --json` prints."""
        settings = self.settings
        recipes = [
            {
                "id": features.recipe.id,
                "backbone": features.recipe.backbone,
                "settings": settings[features.recipe.id],
                "outputs": list(features.outputs),
                "samples": features.samples,
                "cached": features.cached,
                "extracted": features.extracted,
                "skipped": len(features.skipped),
                "backbone_loaded": features.backbone_loaded,
                "truncated": dataclasses.asdict(features.truncation),
                "seconds": round(features.seconds, 3),
            }
            for features in self.features
        ]
        told = {"recipes": recipes, "skipped": [{"id": skipped.id, "reason": skipped.reason} for skipped in self.skipped]}
        return told if self.table is None else told | {"table": self.table}

    def write_skipped(self, path: Path) -> None:
        """Write the skipped samples as JSON lines; raises `RunError` if that fails."""
        lines = "".join(json.dumps({"id": s.id, "row": s.row, "reason": s.reason}) + "\n" for s in self.skipped)
        try:
            path.write_text(lines, encoding="utf-8")
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


def extract_config(
    config: Config,
    store: str | None = None,
    strict: bool = False,
    progress: Any = None,
    loaded: dict[str, Any] | None = None,
    check: Callable[[Prospect], object] | None = None,
    check_slice: Callable[[Samples], None] | None = None,
) -> Extraction:
    """Make sure that the store holds the features of a config's samples, of a stream slice by slice.

    Parameters are those of `extract`; backbones that are `loaded` already do not serve a stream. `check` is called before the
    first backbone is run; not of a stream whose samples say which part of a backbone it is. `check_slice` is called with every
    slice of a stream before that is extracted.
    """
    began = time.monotonic()
    if config.engine.kind != "ray":  # whose workers may have what this machine has not
        with _told_at(config, "device"):
            check_device(config.device)
    budget = None if config.max_size is None else Budget(parse_size(config.max_size), config.evict)
    place = FeatureStore(store or config.store, budget)
    table, kept = None, []
    if config.data.streams:
        for number, backbone in enumerate(config.backbones):
            with _told_at(config, "backbones", number):
                offer = find_backbone(spec_of(backbone).backbone).offer
            if not offer.others:
                kept.append(_names_of_outputs(config, backbone, offer, _outputs_of_stream(config, backbone)))
        if check is not None and len(kept) == len(config.backbones):
            check(Prospect(kept))
        streamed = _extract_stream(config, place, strict, progress, check_slice)
        features, table = streamed.features, streamed.table
        samples = (
            Samples(streamed.name, [], [], None if config.data.label is None else [])
            if table is None
            else samples_of_table(streamed.name, table)
        )
    else:
        with _told_at(config, "data"):
            samples = load_data(config.data)
        matched = []
        for number, backbone in enumerate(config.backbones):  # all of them, before the first costs time
            with _told_at(config, "backbones", number):
                matched.append(match_samples(samples, spec_of(backbone)))
            offer = matched[-1][1].offer
            kept.append(_names_of_outputs(config, backbone, offer, _outputs(config, backbone.name, samples)))
        if check is not None:
            by_kind = {checkpoint.offer.takes: found for found, checkpoint in matched}
            rows = [found.promising(kind) for kind, found in by_kind.items()]
            check(Prospect(kept, samples, functools.reduce(np.intersect1d, rows), by_kind.keys() == {"text"}))
        if config.engine.kind != "ray" and not getattr(progress, "quiet", True):  # whose workers have devices of their own
            _tell_other_precision(config, place, matched)
        features = _extract_all(config, samples, place, strict, progress, loaded)
    _refuse_twins(config, features)
    views = {found.recipe.id: used.views for used, found in zip(config.backbones, features, strict=True) if used.views}
    name = None if table is None else table.path.name
    tuned = {
        found.recipe.id: run
        for used, found in zip(config.backbones, features, strict=True)
        if (run := _place_in_run(used.name)) is not None
    }
    return Extraction(samples, features, time.monotonic() - began, views, name, memory_of(config), tuned)


def _tell_other_precision(config: Config, store: FeatureStore, matched: Sequence[tuple[Samples, Checkpoint]]) -> None:
    """Tell of features that are about to be computed although the store has them as another kind of device computes them."""
    for number, (backbone, (samples, checkpoint)) in enumerate(zip(config.backbones, matched, strict=True)):
        asked = _outputs(config, backbone.name, samples)
        found = find_other_precision(store, samples, checkpoint, spec_of(backbone), asked, config.device)
        if found is not None:
            precision, count = found
            where = f"backbones.{number}.precision={precision}"
            console.note(f"{store.name} holds {count:,} of the samples to extract in {precision}; `--set {where}` uses those")


def _place_in_run(backbone: str) -> str | None:
    """Return `RUN/FOLDER` of a backbone's folder that is in a run; None of any other."""
    folder = Path(backbone.rpartition(":")[2])
    return f"{folder.parent.name}/{folder.name}" if (folder.parent / "metrics.json").is_file() and folder.is_dir() else None


@contextmanager
def _told_at(config: Config, *place: str | int) -> Iterator[None]:
    """Have it told with a key's line that what it names is not there."""
    try:
        yield
    except NoSuchNameError as error:
        raise type(error)(f"{config.where(*place)}: {error}") from error


def memory_of(config: Config) -> int:
    """Return how many bytes of features may be in memory: what a config says, or a quarter of the machine's memory."""
    if config.memory is not None:
        return parse_size(config.memory)
    return total_memory() // 4


def _extract_all(
    config: Config, samples: Samples, place: FeatureStore, strict: bool, progress: Any, loaded: dict[str, Any] | None
) -> list[Features]:
    return [
        extract(
            samples,
            spec_of(backbone),
            place,
            _outputs(config, backbone.name, samples),
            device=config.device,
            options=LoopOptions(**config.loop.model_dump()),
            engine=Engine(**config.engine.model_dump()),
            strict=strict,
            progress=progress,
            viewed=_viewed(backbone, samples),
            loaded=loaded,
        )
        for backbone in config.backbones
    ]


def _extract_stream(
    config: Config, place: FeatureStore, strict: bool, progress: Any, check: Callable[[Samples], None] | None
) -> Streamed:
    requests = [
        Request(spec_of(backbone), _outputs_of_stream(config, backbone), functools.partial(_viewed, backbone))
        for backbone in config.backbones
    ]
    options = LoopOptions(**config.loop.model_dump())
    stream = open_stream(config.data)
    engine = Engine(**config.engine.model_dump())
    return extract_stream(
        stream,
        requests,
        place,
        device=config.device,
        options=options,
        engine=engine,
        strict=strict,
        progress=progress,
        check=check,
    )


def samples_of_table(name: str, table: StoredTable) -> Samples:
    """Return the rows of a table on disk as samples that are known by their ids alone."""
    return Samples(name, table.ids, table.ids, table.labels, table.splits, table.groups)


def load_data(data: Data, ids: Collection[str] | None = None, split: str | None = None) -> Samples:
    """Load the samples that a config's `data` describes.

    Parameters
    ----------
    data
        Where they are.
    ids, split
        Of a stream only the samples of these ids, or of this split, are brought into memory; they are needed there.

    Raises
    ------
    UsageError
        If the data are a stream and nothing says which of it is wanted.
    """
    if not data.streams:
        columns = columns_of_data(data)
        return load_samples(data.source, columns, encoding=data.encoding, hub_config=data.config, hub_revision=data.revision)
    if ids is None and split is None:
        raise UsageError(f"{data.source}: is read a slice at a time, and this needs all samples in memory")
    return open_stream(data).gather(
        lambda part, row: part.ids[row] in ids if ids is not None else (part.splits or [None] * len(part))[row] == split
    )


def open_stream(data: Data) -> SampleStream:
    """Open the stream that a config's `data` describes."""
    return stream_samples(data.source, columns_of_data(data), hub_config=data.config, hub_revision=data.revision)


def columns_of_data(data: Data) -> Columns:
    """Return which column is what."""
    label = tuple(data.label) if isinstance(data.label, list) else data.label
    return Columns(data.text, label, data.split, data.group, data.id, data.image, data.pair)


def spec_of(backbone: Backbone) -> BackboneSpec:
    """Turn a config's backbone into the extraction's."""
    return BackboneSpec(backbone.name, **backbone.model_dump(exclude={"name": True, "views": {"use", "test"}}))


def _viewed(backbone: Backbone, samples: Samples) -> Sequence[bool] | None:
    """Tell which samples need views: those that can be trained on, unless answers are for the mean of views."""
    if backbone.views is None or backbone.views.test == "average" or samples.labels is None:
        return None
    splits = samples.splits or ["train"] * len(samples)
    return [label is not None and split in ("train", "validation") for label, split in zip(samples.labels, splits, strict=True)]


def _refuse_twins(config: Config, features: Sequence[Features]) -> None:
    """Refuse backbones whose features are the same rows, so that a recipe says which backbone a trial is of."""
    first: dict[str, int] = {}
    for number, found in enumerate(features):
        if (twin := first.setdefault(found.recipe.id, number)) != number:
            raise UsageError(
                f"{config.where('backbones', number)}: gives the same features as backbone {twin + 1} in the list; leave it out"
                " (how many views there are and how they are used is compared by configs of their own)"
            )


def _named_outputs(config: Config) -> list[dict[str, Any]] | None:
    """Return the outputs that a config names; None for a backbone's usual one."""
    return [choice.model_dump() for choice in config.outputs] if isinstance(config.outputs, list) else None


def _outputs(config: Config, backbone: str, samples: Samples) -> list[dict[str, Any]] | None:
    """Return what to keep of a backbone; `layers` means its usual output first, then every layer's mean."""
    named = _named_outputs(config)
    if config.outputs == "layers" and len(samples) <= MOST_SAMPLES_WITH_LAYERS:
        checkpoint = find_backbone(backbone)
        offer = checkpoint.offer.to(samples.kind or checkpoint.offer.takes) or checkpoint.offer
        if offer.layers > 1 and "mean" in offer.poolings and offer.takes in ("text", "image"):
            named = [{"pooling": offer.default}, {"layer": "all", "pooling": "mean"}]
    return _with_space_of_texts(config, backbone, named)


def _outputs_of_stream(config: Config, backbone: Backbone) -> list[dict[str, Any]] | None:
    """Return what to keep of a backbone where nobody knows how many samples there are."""
    return _with_space_of_texts(config, backbone.name, _named_outputs(config))


def _names_of_outputs(config: Config, backbone: Backbone, offer: Offer, asked: list[dict[str, Any]] | None) -> list[str]:
    """Return the names of what is kept of a backbone; what a config names and it cannot give is told with its line."""
    where = f"outputs of {backbone.name}"
    for number, choice in enumerate(_named_outputs(config) or ()):
        with _told_at(config, "outputs", number):
            parse_outputs(choice, offer, backbone.dtype, where)
    with _told_at(config, "outputs"):
        return [output.name for output in parse_outputs(asked, offer, backbone.dtype, where)]


def keeps_usual_output_alone(extraction: Extraction) -> bool:
    """Tell whether layers were left out of what is kept unasked, since there are so many samples or nobody knows how many."""
    return extraction.table is not None or len(extraction.samples) > MOST_SAMPLES_WITH_LAYERS


def _with_space_of_texts(config: Config, backbone: str, named: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Add the output that a zero-shot head compares with texts, where there is such a head and such an output."""
    if not any(head.kind == "zero_shot" and head.outputs is None for head in config.heads) or not has_texts(backbone):
        return named
    usual: list[dict[str, Any]] = [{"pooling": find_backbone(backbone).offer.default}]
    return [*(usual if named is None else named), {"pooling": OUTPUT}]
