"""`report.html`: one self-contained page about a run. Everything that comes from the data is escaped."""

import json
from typing import Any

import numpy as np
from markupsafe import Markup

from pipelines.combinations import shorten
from pipelines.console import seconds
from pipelines.quality import KINDS, Inspection, Subject
from pipelines.report.charts import calibration_chart, line_chart, scatter_chart, trials_chart
from pipelines.report.distributions import feature_charts
from pipelines.report.embedding import cut, shown_text, thumbnails
from pipelines.report.frame import ASSETS, fill
from pipelines.report.record import Record
from pipelines.report.sample_map import Effort, make_map
from pipelines.summaries import describe

MOST_TRIALS = 50
MOST_MISTAKES = 25
MOST_ISSUES = 12
MOST_CLASSES = 60
LONGEST_TEXT = 400
SCRIPTS = ("decode.js", "palette.js", "scatter.js", "explorer.js", "pointers.js", "page.js")
HEADLINE = (
    "accuracy", "f1_macro", "balanced_accuracy", "roc_auc", "roc_auc_ovr", "matthews_corrcoef", "f1_micro", "average_precision",
    "r2", "mean_absolute_error", "root_mean_squared_error", "spearman",
)  # fmt: skip
_WORDS = {
    "roc_auc": "area under ROC", "roc_auc_ovr": "area under ROC, ovr", "r2": "R²",
    "matthews_corrcoef": "Matthews correlation",
}  # fmt: skip


def render(record: Record, subject: Subject | None, inspection: Inspection | None, effort: Effort, notes: list[str]) -> str:
    """Return the page about a run.

    Parameters
    ----------
    record
        What the run folder holds.
    subject
        The run's samples with their features; None where they are no longer there: then the page has no texts and no map.
    inspection
        What was found about the samples.
    effort
        How much the map may cost.
    notes
        What a reader should know besides the run's own notes.
    """
    metrics = record.metrics
    classes = metrics.get("classes") or []
    counts = metrics.get("confusion")
    by_class = metrics.get("per_class") or []
    numbers = record.kind == "regression"
    context: dict[str, Any] = {
        "name": record.name,
        "metric": record.metric,
        "metrics": metrics,
        "made": json.loads(record.environment).get("time", "")[:16].replace("T", " ") if record.environment else "",
        "headline": [name for name in HEADLINE if name in metrics["test"]][:4],
        "notes": [*notes, *metrics["notes"], *_skipped(metrics)],
        "map": None if subject is None else make_map(record, subject, inspection, effort),
        "confusion": _confusion(np.array(counts), classes) if counts else None,
        "by_class": sorted(by_class, key=lambda row: -row["support"])[: 5 * MOST_CLASSES],
        "class_metrics": [name for name in ("precision", "recall", "f1", "roc_auc") if by_class and name in by_class[0]],
        "calibration": calibration_chart(metrics["reliability"]) if metrics.get("reliability") else None,
        "predictions_chart": _predicted_numbers(record) if numbers else None,
        "trials": record.trials[:MOST_TRIALS],
        "trials_chart": trials_chart(record.trials[:400], record.metric) if len(record.trials) > 1 else None,
        "learning": [_learning(name, history) for name, history in record.histories.items()],
        "features": None if subject is None else feature_charts(subject),
        "mistakes": _mistakes(record, subject),
        "mistakes_title": "Largest errors" if numbers else "Most confident mistakes",
        "quality": None if inspection is None else _quality(inspection, subject),
        "yaml": record.yaml,
        "environment": record.environment,
    }
    context["sections"] = _sections(context)
    return fill(
        ASSETS / "page.html",
        SCRIPTS,
        {"describe": describe, "seconds": seconds, "shorten": shorten, "words": _words},
        context,
    )


def _words(metric: str) -> str:
    return _WORDS.get(metric, metric.replace("_", " ").replace("f1", "F1"))


def _sections(context: dict[str, Any]) -> list[tuple[str, str]]:
    metrics = context["metrics"]
    compared = any(metrics.get(name) for name in ("standings", "comparison", "nested"))
    told = [
        ("notes", "Worth knowing", context["notes"]),
        ("samples", "Samples", context["map"]),
        ("scores", "Scores", True),
        ("classes", "Classes", context["confusion"] or context["by_class"]),
        ("calibration", "Calibration", context["calibration"]),
        ("calibration", "Predictions", context["predictions_chart"]),
        ("trials", "Leaderboard", True),
        ("comparison", "Against other trials", compared),
        ("learning", "Learning curves", context["learning"]),
        ("features", "Features", context["features"]),
        ("mistakes", context["mistakes_title"], True),
        ("quality", "Data quality", context["quality"]),
        ("making", "How it was made", True),
    ]
    return [(id_, title) for id_, title, there in told if there]


def _skipped(metrics: dict[str, Any], most: int = 5) -> list[str]:
    skipped = metrics["extract"]["skipped"]
    told = [f"skipped {cut(entry['id'], 200)}: {cut(entry['reason'], 300)}" for entry in skipped[:most]]
    return [*told, f"skipped {len(skipped) - most:,} more; all are in skipped.jsonl"] if len(skipped) > most else told


def _confusion(counts: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Return a confusion matrix `[c, c]` for the page: a table, or of many classes the largest confusions."""
    if len(classes) > MOST_CLASSES:
        wrong = counts * (1 - np.eye(len(counts), dtype=int))
        places = np.unravel_index(np.argsort(-wrong, axis=None, kind="stable")[:30], counts.shape)
        largest = [
            {"true": classes[r], "predicted": classes[c], "count": int(wrong[r, c])} for r, c in zip(*places, strict=True)
        ]
        return {"largest": [row for row in largest if row["count"]]}
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    rows = [
        {
            "name": name,
            "cells": [
                {"name": other, "count": int(counts[r, c]), "share": float(shares[r, c]), "right": r == c}
                for c, other in enumerate(classes)
            ],
        }
        for r, name in enumerate(classes)
    ]
    return {"rows": rows, "dense": len(classes) > 16}


def _predicted_numbers(record: Record) -> Markup:
    true, predicted = np.array(record.predictions.labels, float), np.array(record.predictions.predicted, float)
    return scatter_chart(true, predicted)


def _learning(name: str, history: dict[str, Any]) -> Markup:
    series = {"training": history["train_loss"]}
    if history.get("validation_loss"):
        series["held out"] = history["validation_loss"]
    if history.get("score"):
        series["score"] = history["score"]
    mark = history.get("best_epoch", 0) + 1 if len(series) > 1 else None
    return line_chart(name, "epoch", "loss; dotted: the epoch that was kept", series, mark)


def _mistakes(record: Record, subject: Subject | None) -> list[dict[str, Any]]:
    """Return the worst test predictions: wrong classes by how sure the head was, labels by how many, numbers by error."""
    answers = record.predictions
    sure = answers.sureness
    if record.kind == "regression":
        badness = np.abs(np.array(answers.labels, float) - np.array(answers.predicted, float))
    elif record.kind == "multilabel":
        badness = np.array([len(set(a) ^ set(b)) for a, b in zip(answers.labels, answers.predicted, strict=True)], float)
    else:
        wrong = np.array([a != b for a, b in zip(answers.labels, answers.predicted, strict=True)])
        badness = wrong * (1.0 if sure is None else sure)
    worst = [number for number in np.argsort(-badness, kind="stable")[:MOST_MISTAKES].tolist() if badness[number] > 0]
    place = {} if subject is None else {name: row for row, name in enumerate(subject.samples.ids)}
    rows = [place[answers.ids[number]] for number in worst if answers.ids[number] in place]
    pictures = {} if subject is None else thumbnails(subject.samples, rows, 160, 20.0)
    mistakes = []
    for number in worst:
        row = place.get(answers.ids[number])
        text = "" if row is None or subject is None else shown_text(subject.samples, row, LONGEST_TEXT)
        mistakes.append(
            {
                "id": cut(answers.ids[number], 200),
                "text": text,
                "picture": None if row is None else pictures.get(row),
                "true": _told(answers.labels[number]),
                "predicted": _told(answers.predicted[number]),
                "probability": None if sure is None else float(sure[number]),
            }
        )
    return mistakes


def _told(answer: Any) -> str:
    if isinstance(answer, list):
        return ", ".join(answer) or "none"
    return f"{answer:g}" if isinstance(answer, float) else str(answer)


def _quality(inspection: Inspection, subject: Subject | None) -> dict[str, Any]:
    kinds = []
    for kind, count in inspection.counts.items():
        issues = [issue for issue in inspection.issues if issue.kind == kind][:MOST_ISSUES]
        pictures = {} if subject is None else thumbnails(subject.samples, [issue.row for issue in issues], 160, 10.0)
        rows = [
            {
                "id": cut(issue.id, 200),
                "label": cut(issue.label, 100),
                "reason": cut(issue.reason, 300),
                "split": issue.split,
                "text": "" if subject is None else shown_text(subject.samples, issue.row, LONGEST_TEXT),
                "picture": pictures.get(issue.row),
            }
            for issue in issues
        ]
        if rows:
            kinds.append({"title": KINDS[kind], "count": count, "rows": rows})
    counts = [{"title": KINDS[kind], "count": count} for kind, count in inspection.counts.items()]
    lead = f"What the cached features say about {inspection.samples:,} samples; the gravest of each kind first."
    return {
        "lead": " ".join([lead, *(f"{note[0].upper()}{note[1:]}." for note in inspection.notes)]),
        "counts": counts,
        "kinds": kinds,
    }
