import numpy as np
import pytest

from extract import Samples
from heads import classification_metrics, confusion_matrix
from pipelines.evaluation import look_closer
from pipelines.outcome import Outcome
from pipelines.quality import Subject, inspect_subject
from pipelines.report.record import Predictions, Record
from pipelines.report.sample_map import Effort
from pipelines.task import Task

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\u202ereversed",
    "caf\udce9",
    "{{ 7 * 7 }}",
    "a\u0000b\u2028c",
    "]]><!--",
    "x" * 1_000_000,
]
CLASSES = ["<b>a</b>", "b & c"]
QUICK = Effort(points=100_000, arranged=200, methods=("pca", "tsne"), picture_seconds=5.0)


def make_subject(inputs, seed=0, groups=None):
    """Samples in two clouds of features, one a class, every third of them test."""
    rng = np.random.default_rng(seed)
    count = len(inputs)
    codes = np.arange(count) % 2
    X = rng.normal(size=(count, 8)) + 4 * codes[:, None]
    names = np.array(CLASSES)[codes]
    test = np.arange(count) % 3 == 0
    samples = Samples("data.csv", inputs, [f"data.csv:{n}" for n in range(count)], names.tolist(), None, groups)
    rows = np.arange(count)
    task = Task("classification", rows, names, (), None, None, test, [])
    keys = rng.integers(256, size=(count, 16), dtype=np.uint8)
    return Subject(samples, rows, keys, X.astype(np.float32), np.where(test, "test", "train"), task)


def make_record(subject, wrong_every=4):
    """A run in which every fourth test sample was answered wrongly."""
    test = np.flatnonzero(subject.parts == "test")
    true = np.searchsorted(CLASSES, subject.task.labels[test])
    predicted = np.where(np.arange(len(test)) % wrong_every == 0, 1 - true, true)
    probabilities = np.full((len(test), 2), 0.2)
    probabilities[np.arange(len(test)), predicted] = 0.8
    metrics = classification_metrics(true, predicted, probabilities, 2, resamples=50)
    outcome = Outcome(true, predicted, probabilities, test, metrics)
    trial = {"rank": 1, "head": "linear", "params": {"C": 1.0}, "backbone": "hf:<i>x</i>", "output": "pooled",
             "score": 0.9, "deviation": 0.1, "fit_seconds": 0.1, "error": None}  # fmt: skip
    failed = trial | {"rank": 2, "score": float("nan"), "error": "<u>why</u>"}
    content = {
        "run": "r", "trials": 2, "failed_trials": 1, "notes": ["<s>note</s>"], "classes": CLASSES,
        "samples": {"development": len(subject.rows) - len(test), "test": len(test)},
        "test": {name: vars(value) for name, value in metrics.items()},
        "confusion": confusion_matrix(true, predicted, 2).tolist(),
        "selected": {"head": "linear", "params": {"C": 1.0}, "output": "pooled", "backbone": "hf:<i>x</i>"},
        "extract": {"recipes": [], "skipped": [{"id": "<q>", "reason": "empty"}] * 7},
        **look_closer("classification", outcome, CLASSES, None),
    }  # fmt: skip
    ids = [subject.samples.ids[row] for row in test]
    predictions = Predictions(
        ids, [CLASSES[code] for code in true], [CLASSES[code] for code in predicted], probabilities, CLASSES
    )
    history = {"head: mlp": {"train_loss": [0.9, 0.5, 0.4], "validation_loss": [0.8, 0.6, 0.7], "best_epoch": 1}}
    return Record(
        "hostile <run>", "accuracy", "classification", content, [trial, failed], predictions, history, "name: <x>", ""
    )


@pytest.fixture(scope="session")
def hostile():
    """A record, subject and inspection whose texts and names try to be more than text."""
    subject = make_subject(HOSTILE * 6, groups=["<g>", None] * 24)
    return make_record(subject), subject, inspect_subject(subject)
