"""`headstart recommend`: whether fine-tuning is likely to pay for itself, from cached features and a budget of time."""

import dataclasses
import re
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from extract import extract
from heads import LinearHead, PairedDifference, SweepCV, corrected_resampled_t, hold_out
from pipelines.columns import read_columns
from pipelines.combinations import is_tokens
from pipelines.config import Config
from pipelines.config_file import load_config
from pipelines.errors import TrainingError, UsageError
from pipelines.extract import Extraction, extract_config, spec_of
from pipelines.recommend_rule import Advice, Evidence, advise
from pipelines.task import Task, check_samples, make_task

REPEATS, HELD_OUT = 3, 0.2
MOST_SAMPLES = 5_000
"""Heads are trained on so many samples at most; the curve is then that of a part."""

FEWEST = 20
"""Training samples below which a point of the curve says nothing."""

TIMED = 128
"""Samples that the backbone is timed on where nobody has noted its speed."""

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
TOLERANCE = 1e-3
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Recommendation:
    """The advice, and what it rests on."""

    advice: Advice
    evidence: Evidence
    budget: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return what `headstart recommend --json` prints."""
        told = dataclasses.asdict(self.advice)
        return told | {"budget": self.budget, "evidence": dataclasses.asdict(self.evidence), "seconds": round(self.seconds, 3)}


def recommend(
    subject: Path,
    budget: str,
    store: str | None = None,
    worth: float = 0.01,
    speed: float | None = None,
    progress: Any = None,
) -> Recommendation:
    """Say whether fine-tuning the first backbone of a config, a run or a comparison is likely to pay for itself.

    Parameters
    ----------
    subject
        A config's file, or a folder with a `config.yaml`.
    budget
        Time that fine-tuning may take, such as `90s`, `10m`, `2h`.
    store
        Feature store to use instead of the one named there.
    worth
        Accuracy below which a gain is not worth it.
    speed
        Samples a second through the frozen backbone; measured if it is not given.
    progress
        Told how extraction goes.

    Raises
    ------
    UsageError
        If the budget is no time, or the task is none of one label a sample.
    TrainingError
        If there are too few samples to say anything.
    """
    began = time.monotonic()
    allowed = parse_duration(budget)
    config = load_config(subject / "config.yaml" if subject.is_dir() else subject)
    if config.kind != "classification":
        raise UsageError(f"{config.where('data', 'label')}: the rule is for one label a sample, not for {config.kind}")
    if config.data.streams:
        raise UsageError(f"{config.where('data')}: these data are read a slice at a time; take a part of them")
    extraction = extract_config(config, store, progress=progress, check=partial(check_samples, config))
    task = make_task(extraction, config)
    rate, measured = (speed, "as given") if speed is not None else measure_speed(config, extraction)
    evidence = gather(extraction, task, config.selection.seed, rate, measured)
    return Recommendation(advise(evidence, allowed, worth), evidence, allowed, time.monotonic() - began)


def gather(extraction: Extraction, task: Task, seed: int, speed: float, measured: str) -> Evidence:
    """Train heads on parts of the samples that are not test, and see how far they come.

    Raises
    ------
    TrainingError
        If there are too few samples.
    """
    features = extraction.features[0]
    vectors = tuple(name for name in features.outputs if not is_tokens(name))
    if not vectors:
        raise TrainingError("there are features of tokens alone; name an output with another pooling")
    rows = task.development
    if len(rows) > MOST_SAMPLES:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_SAMPLES])
    labels, groups = task.labels[rows], None if task.groups is None else task.groups[rows]
    last = main_columns(extraction, vectors, task.rows[rows])
    wide = read_columns(features, vectors, task.rows[rows]).X if len(vectors) > 1 else None
    curves, gains = [], []
    for repeat in range(REPEATS):
        try:
            held = hold_out(labels, groups, HELD_OUT, seed + repeat)
        except ValueError as error:
            raise TrainingError(f"{len(rows)} samples are too few to say anything: {error}") from error
        training = np.random.default_rng(seed + repeat).permutation(np.flatnonzero(~held))
        sizes = [size for size in (len(training) // part for part in (8, 4, 2, 1)) if size >= FEWEST]
        if len(sizes) < 2:
            raise TrainingError(f"{len(rows)} samples are too few for a learning curve; {5 * FEWEST // 2} would do")
        tested = np.flatnonzero(held)
        curves.append([_accuracy(last, labels, training[:size], tested) for size in sizes])
        if wide is not None:
            gains.append(_accuracy(wide, labels, training, tested) - curves[-1][-1])
    curve = np.array(curves)
    held_out, trained = len(rows) * HELD_OUT, len(rows) * (1 - HELD_OUT)

    def compared(differences: Any) -> PairedDifference:
        return corrected_resampled_t(differences, trained, held_out)

    return Evidence(
        samples=len(task.development),
        classes=len(task.classes),
        median_class=int(np.median(np.unique(task.labels[task.development], return_counts=True)[1])),
        curve=tuple(zip(sizes, curve.mean(axis=0).tolist(), strict=True)),
        doubling=compared(curve[:, -1] - curve[:, -2]),
        layers=compared(gains) if gains else None,
        tested=int(task.test.sum()),
        speed=speed,
        measured=measured,
    )


def main_columns(extraction: Extraction, vectors: tuple[str, ...], rows: np.ndarray) -> np.ndarray:
    """Read the features that fine-tuning would begin from: see `main_output`."""
    from pipelines.compare.planning import main_output

    found: np.ndarray = read_columns(extraction.features[0], (main_output(vectors),), rows).X
    return found


def measure_speed(config: Config, extraction: Extraction) -> tuple[float, str]:
    """Return how many samples a second the frozen backbone takes, and how that is known.

    Where this call extracted enough itself, that is its speed; else a few samples run through the backbone once more.
    """
    features = extraction.features[0]
    if features.extracted >= TIMED:
        return features.extracted / features.seconds, f"as {features.extracted:,} samples were just extracted"
    from pipelines.models.backbone_module import BackboneModule

    samples = extraction.samples
    chosen = np.sort(np.random.default_rng(0).permutation(features.rows)[:TIMED]).tolist()
    backbone = BackboneModule.load(spec_of(config.backbones[0]), samples.kind, device=config.device)
    loaded = {backbone.recipe.id: backbone.adapter}
    some = dataclasses.replace(
        samples, inputs=[samples.inputs[row] for row in chosen], ids=[samples.ids[row] for row in chosen], labels=None,
        splits=None, groups=None, faults={},
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="headstart-timed-") as place:
        found = extract(some, backbone.spec, place, device=config.device, keep_table=False, loaded=loaded)
    return max(1, found.extracted) / found.seconds, f"measured on {found.extracted}"


def parse_duration(text: str) -> float:
    """Return seconds; raises `UsageError` for what is no time."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in _UNITS or float(match[1]) <= 0:
        raise UsageError(f"--budget {text}: is no time; write 90s, 10m or 2h")
    return float(match[1]) * _UNITS[match[2]]


def _accuracy(X: np.ndarray, labels: np.ndarray, training: np.ndarray, tested: np.ndarray) -> float:
    """Return the accuracy on `tested` of the best of a few penalties; NaN-free, since one class alone is always answered."""
    if len(np.unique(labels[training])) < 2:
        return float((labels[tested] == labels[training][0]).mean())
    sweep = SweepCV(
        LinearHead(standardize=True, tol=TOLERANCE),
        {"C": list(PENALTIES)},
        scoring="accuracy",
        cv=[(training, tested)],
        refit=False,
    )
    return float(np.nanmax(sweep.fit(X, labels).cv_results_["mean_test_score"]))
