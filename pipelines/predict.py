"""Answer for new texts or images with a run's heads, through the feature cache or with the backbones kept at hand."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from extract import BackboneSpec, Encoder, Samples, Skipped, extract, find_backbone
from extract.devices import choose_device
from extract.extractor import make_recipe, settle_precision
from extract.samples import kind_of
from pipelines.columns import put_together, read_answered
from pipelines.errors import RunError, UsageError
from pipelines.given import read_given, show
from pipelines.run import SavedMember, SavedRun, read_run

CHUNK = 8192
"""So many samples are answered for at a time, so that memory does not grow with their number."""


@dataclass(frozen=True)
class Found:
    """A member's features of the usable samples: `X [m, d]`, their `rows [m]` among all, and the samples left out."""

    X: Any
    rows: np.ndarray
    skipped: list[Skipped]


Look = Callable[[SavedMember, Samples], Found]
"""How features are come by."""


def through_store(run: Path, saved: SavedRun, store: str | None = None, progress: Any = None) -> Look:
    """Look features up in a store, and extract into it what is missing; backbones stay loaded."""
    loaded: dict[str, Any] = {}

    def look(member: SavedMember, samples: Samples) -> Found:
        found = extract(
            samples, answered(member), store or saved.store, list(member.outputs),
            device=saved.device, keep_table=False, progress=progress, loaded=loaded,
        )  # fmt: skip
        _check_recipe(run, saved, member, samples, found.recipe.id)
        X = read_answered(found, member.outputs, found.rows, member.averages).X if len(found.rows) else None
        return Found(X, found.rows, found.skipped)

    return look


def without_store(run: Path, saved: SavedRun) -> Look:
    """Run the backbones over whatever comes, and keep nothing but the backbones.

    Raises
    ------
    RunError
        If the run answers for means of views, which are made on the way to a store.
    """
    if any(member.averages for member in saved.members):
        raise RunError(f"{run}: answers for the mean of an image's views, which takes a store; use `headstart predict`")
    encoders = {id(member): Encoder(answered(member), list(member.outputs), saved.device) for member in saved.members}

    def look(member: SavedMember, samples: Samples) -> Found:
        found = encoders[id(member)](samples)
        _check_recipe(run, saved, member, samples, found.recipe.id)
        X = put_together([found.features[name] for name in member.outputs], member.outputs).X if len(found.rows) else None
        return Found(X, found.rows, found.skipped)

    return look


def answered(member: SavedMember) -> BackboneSpec:
    """Return a member's backbone as answers take it: without views, unless they are for the mean of an image's views."""
    spec = member.backbone
    if spec.views is None or member.averages:
        return spec
    return dataclasses.replace(spec, views=dataclasses.replace(spec.views, count=0))


def kinds_answered(saved: SavedRun) -> list[str]:
    """Return the kinds of samples that a run's first head can answer for: a backbone of several towers was used by one."""
    member = saved.members[0]
    spec, device = answered(member), choose_device(saved.device)
    checkpoint = find_backbone(spec.backbone)
    offered = [kind for kind in ("text", "image", "image and text") if checkpoint.offer.to(kind) is not None]
    towers = {kind: checkpoint.for_samples(kind) for kind in offered}
    fitting = [
        kind
        for kind, tower in towers.items()
        if make_recipe(tower, spec, settle_precision(tower, spec, device)).id == member.recipe
    ]
    return fitting or offered


def _check_recipe(run: Path, saved: SavedRun, member: SavedMember, samples: Samples, recipe: str) -> None:
    if recipe != member.recipe:
        takes = kinds_answered(saved)
        if samples.kind is not None and samples.kind not in takes:
            how = "; give a table of both with --file" if takes == ["image and text"] else ""
            raise UsageError(f"{run}: takes {' or '.join(takes)}, and this is {samples.kind}{how}")
        raise RunError(
            f"{run}: its head expects features of recipe {member.recipe[:12]}, and {member.backbone.backbone} now gives "
            f"{recipe[:12]}: weights, settings or precision have changed; train again"
        )


def _refuse_other_form(samples: Samples, saved: SavedRun) -> Samples:
    """Make a fault of a single text where the run takes pairs, and the other way round: the heads never saw such."""
    if saved.pairs is None:
        return samples
    odd: Any = str if saved.pairs else list | tuple
    if saved.pairs:
        text, pair = saved.columns.text or "text", saved.columns.pair
        form = "lists of two texts in a table" if pair is None else f'`{text}` and `{pair}` of a table, or ["a", "b"]'
        why = f"a single text, and the run takes pairs: {form}"
    else:
        why = "a pair, and the run takes single texts"
    faults = {row: why for row, sample in enumerate(samples.inputs) if isinstance(sample, odd) and kind_of(sample) == "text"}
    return dataclasses.replace(samples, faults=faults | dict(samples.faults)) if faults else samples


class Predictor:
    """A run's heads, ready to answer.

    Parameters
    ----------
    saved
        The run.
    look
        How features are come by.
    """

    def __init__(self, saved: SavedRun, look: Look) -> None:
        self.saved = saved
        self._look = look

    def raw(self, samples: Samples) -> tuple[np.ndarray | None, np.ndarray, list[Skipped]]:
        """Return the heads' mean prediction of the usable samples in the form of `heads.predictions` (None if there is
        none), their rows, and the samples left out.
        """
        from heads import class_probabilities, label_probabilities, mean_prediction

        saved = self.saved
        samples = _refuse_other_form(samples, saved)
        if samples.kind is None:  # then nothing says which part of a backbone they are for
            return None, np.empty(0, int), samples.admit(kinds_answered(saved)[0]).skipped
        found = [self._look(member, samples) for member in saved.members]
        skipped = {entry.row: entry for part in found for entry in part.skipped}
        rows = found[0].rows
        for part in found[1:]:
            rows = np.intersect1d(rows, part.rows)
        if not len(rows):
            return None, rows, list(skipped.values())
        raw = []
        for member, part in zip(saved.members, found, strict=True):
            X = part.X if len(part.rows) == len(rows) else part.X[np.searchsorted(part.rows, rows)]
            if saved.task == "classification":
                raw.append(class_probabilities(member.head, X, saved.names))
            else:
                raw.append(
                    label_probabilities(member.head, X) if saved.names else np.asarray(member.head.predict(X), dtype=float)
                )
        mean = mean_prediction(raw, np.array([member.weight for member in saved.members]))
        return mean, rows, list(skipped.values())

    def answer(self, samples: Samples) -> list[dict[str, Any]]:
        """Answer for every sample, in order; see `predict`."""
        predictions: list[dict[str, Any]] = [
            {"input": show(sample, place), "label": None, "probabilities": None}
            for sample, place in zip(samples.inputs, samples.ids, strict=True)
        ]
        mean, rows, skipped = self.raw(samples)
        for entry in skipped:
            predictions[entry.row]["reason"] = entry.reason
        if mean is not None:
            for row, answer in zip(rows.tolist(), _answers(self.saved, mean), strict=True):
                predictions[row] |= answer
        return predictions

    def stream(self, parts: Iterable[Samples]) -> Iterator[dict[str, Any]]:
        """Answer for samples as they come, a part at a time."""
        return (answer for part in parts for answer in self.answer(part))


@dataclass
class Tally:
    """Counts answers as they pass, and samples that there is none for."""

    answered: int = 0
    unanswered: int = 0
    first_reason: str = ""

    def count(self, predictions: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Pass predictions on."""
        for prediction in predictions:
            if "reason" not in prediction:
                self.answered += 1
            else:
                self.unanswered += 1
                self.first_reason = self.first_reason or prediction["reason"]
            yield prediction

    def conclude(self, name: str) -> str | None:
        """Say in a line, once all have passed, that some were not answered for; None if all were.

        Raises
        ------
        RunError
            If there is no answer at all.
        """
        if not self.answered:
            why = f"none of {self.unanswered:,} samples can be used; the first: {self.first_reason}"
            raise RunError(f"{name}: {why if self.unanswered else 'holds no samples'}")
        if not self.unanswered:
            return None
        return f"{name}: {self.unanswered:,} of {self.answered + self.unanswered:,} samples cannot be used; each has its reason"


def predict(
    run: Path,
    texts: Sequence[str] = (),
    file: Path | str | None = None,
    store: str | None = None,
    progress: Any = None,
    encoding: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Answer for every text or image, in order, as an iterator that computes a part at a time.

    Parameters
    ----------
    run
        A run folder.
    texts, file
        What to answer for: texts, or paths of images and folders of them; or a file (`.txt`: a text a line; CSV, TSV, JSONL,
        Parquet: the run's columns; an image; a folder of images or texts; a pattern or URL of Parquet files; `-`: standard
        input, a text or a JSON object a line). Of a run on pairs, a text is a JSON list of two.
    store
        Feature store to use instead of the run's.
    progress
        Told how extraction goes.
    encoding
        Of files of texts, by default that of the run's data; and of standard input, by default UTF-8.

    Yields
    ------
    dict
        `input`, `label` and `probabilities` (class -> probability; None if the head has none) of every sample. Where one may
        have several labels, `label` is a list; where numbers are predicted, a number. With prediction sets, `set` is the
        classes in it, or `interval` the ends. For one that cannot be used, `label` is None and `reason` says why.

    Raises
    ------
    RunError
        If the run cannot be read or its backbone is no longer what the head was trained on.
    """
    if encoding is not None and file is None:
        raise UsageError("--encoding is of a file; name it with --file")
    saved = read_run(run)
    predictor = Predictor(saved, through_store(run, saved, store, progress))
    encoding = encoding or ("utf-8" if file is None or str(file) == "-" else saved.encoding)
    return predictor.stream(read_given(texts, file, saved.columns, CHUNK, encoding))


def _answers(saved: SavedRun, mean: np.ndarray) -> list[dict[str, Any]]:
    decision, names = saved.decision, saved.names
    if saved.task == "regression":
        ends = None if decision.intervals is None else np.stack(decision.intervals.intervals(mean), axis=1)
        return [
            {"label": value} | ({} if ends is None else {"interval": ends[number].tolist()})
            for number, value in enumerate(mean.tolist())
        ]
    if saved.task == "multilabel":
        probabilities = decision.label_probabilities(mean)
        labels: list[Any] = [_chosen(row, names) for row in decision.labels(probabilities)]
        sets = None
    else:
        probabilities = decision.class_probabilities(mean)
        labels = [names[code] for code in decision.classes(probabilities).tolist()]
        sets = None if decision.sets is None else [_chosen(row, names) for row in decision.sets.sets(probabilities)]
    return [
        {"label": label, "probabilities": dict(zip(names, row, strict=True)) if saved.sure else None}
        | ({} if sets is None else {"set": sets[number]})
        for number, (label, row) in enumerate(zip(labels, probabilities.tolist(), strict=True))
    ]


def _chosen(row: np.ndarray, names: Sequence[str]) -> list[str]:
    return [names[column] for column in np.flatnonzero(row).tolist()]
