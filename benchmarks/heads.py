"""Sweeps of heads, side by side with scikit-learn and plain loops: `python -m benchmarks.heads [--part NAME] [--store DIR]`.

Every part times all its ways in one run. Data: Reuters R8 and TREC through all-MiniLM-L6-v2 where `../shared/data` is there
(extracted into the store once), and synthetic features with a spectrum that falls like a sentence encoder's.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from benchmarks import tables
from heads import LinearHead, SweepCV, few_shot_curve
from heads.solvers.engine import read_task
from heads.solvers.linear import LinearEngine

ROOT = Path(__file__).parents[1]
PENALTIES = np.logspace(-3, 3, 20)


@dataclass(frozen=True)
class Sample:
    """Training and test features and class codes."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def main() -> None:
    """Measure and print a table per part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts: dict[str, Callable[[str], None]] = {"linear": linear, "few-shot": few_shot, "growth": growth}
    parser.add_argument("--part", choices=list(parts), help="one part only")
    parser.add_argument("--store", default="features", help="where features are kept")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, part in parts.items():
        if options.part in (None, name):
            part(options.store)


def linear(store: str) -> None:
    """20 penalties x 5 folds: seconds, distance to the minimum, and accuracies, against scikit-learn."""
    rows = []
    for name, sample in [*real(store), ("synthetic 11,293 x 384, 20 classes", synthetic(11_293, 384, 20))]:
        cv = StratifiedKFold(5, shuffle=True, random_state=0)
        ours, seconds = timed(lambda s=sample, c=cv: SweepCV(LinearHead(), {"C": PENALTIES}, cv=c, refit=False).fit(s.X, s.y))
        reference = GridSearchCV(LogisticRegression(max_iter=1000), {"C": PENALTIES}, cv=cv, n_jobs=2, refit=False)
        theirs, their_seconds = timed(lambda r=reference, s=sample: r.fit(s.X, s.y))
        gap, accuracy = distance(sample, list(cv.split(sample.X, sample.y))[:1])
        found, expected = (sweep.cv_results_["mean_test_score"] for sweep in (ours, theirs))
        best = "same" if found.argmax() == expected.argmax() else f"{found.argmax()} and {expected.argmax()}"
        ratio = f"{their_seconds / seconds:.1f}x"
        rows.append((name, f"{seconds:.1f} s", f"{their_seconds:.1f} s", ratio, f"{gap:.0e}", f"{accuracy:.3f}", best))
    print("\nLinear head, 20 penalties x 5 folds\n")
    print(
        tables.markdown(
            ("data", "SweepCV", "GridSearchCV, n_jobs=2", "ratio", "objective off by", "accuracy off by (points)", "best C"),
            rows,
        )
    )


def distance(sample: Sample, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Return how far an objective and an accuracy are at most from a converged reference (7 penalties, 1 fold)."""
    trials = [LinearHead(C=C) for C in PENALTIES[::3]]
    task = read_task(sample.X, sample.y, None, folds)
    assert task is not None
    gaps, accuracies = [], []
    for number, (solved,) in LinearEngine().solve(trials, task):
        train, test = folds[0]
        X, y = sample.X.astype(np.float64), sample.y
        best = LogisticRegression(C=trials[number].C, tol=1e-8, max_iter=1000, solver="newton-cg").fit(X[train], y[train])
        found = solved.head()
        values = [objective(X[train], y[train], head.coef_, head.intercept_, trials[number].C) for head in (found, best)]
        gaps.append(values[0] / values[1] - 1)
        accuracies.append(abs((solved.predicted == y[test]).mean() - best.score(X[test], y[test])))
    return max(gaps), 100 * max(accuracies)


def objective(X: np.ndarray, y: np.ndarray, coef: np.ndarray, intercept: np.ndarray, C: float) -> float:
    """Return scikit-learn's objective."""
    logits = torch.as_tensor(X @ coef.T.astype(np.float64) + intercept)
    losses = torch.nn.functional.cross_entropy(logits, torch.as_tensor(y), reduction="sum")
    return C * float(losses) + float((coef.astype(np.float64) ** 2).sum()) / 2


def few_shot(store: str) -> None:
    """20 draws x 8 sizes."""
    rows = []
    for name, sample in real(store)[:1] or [("synthetic", synthetic(5485, 384, 8))]:
        curve, seconds = timed(lambda s=sample: few_shot_curve(s.X, s.y, s.X_test, s.y_test, seeds=20))
        print(f"\nFew-shot curve, {name}: 20 draws x {len(curve.sizes)} sizes in {seconds:.1f} s\n")
        rows = [(str(k), f"{m:.3f}", f"{d:.3f}") for k, m, d in zip(curve.sizes, curve.mean, curve.deviation, strict=True)]
    print(tables.markdown(("samples a class", "accuracy", "deviation over draws"), rows))


def growth(store: str) -> None:
    """Time against samples, width, classes and trials, each doubled from the same middle; a plot into docs/images."""
    import matplotlib.pyplot as plt

    middle = {"samples": 4000, "width": 128, "classes": 8, "trials": 10}
    figure, axes = plt.subplots(1, 4, figsize=(13, 3), sharey=True)
    for axis, name in zip(axes, middle, strict=True):
        values = [middle[name] // 4, middle[name] // 2, middle[name], 2 * middle[name], 4 * middle[name]]
        seconds = []
        for value in values:
            size = middle | {name: value}
            sample = synthetic(size["samples"], size["width"], size["classes"])
            grid = {"C": np.logspace(-2, 2, size["trials"])}
            seconds.append(timed(lambda s=sample, g=grid: SweepCV(LinearHead(), g, cv=5, refit=False).fit(s.X, s.y))[1])
        axis.plot(values, seconds, "o-")
        axis.set(xlabel=name, xscale="log", yscale="log")
        print(f"{name}: " + ", ".join(f"{value:,} {took:.2f} s" for value, took in zip(values, seconds, strict=True)))
    axes[0].set_ylabel("seconds, 5 folds")
    figure.tight_layout()
    figure.savefig(ROOT / "docs/images/sweep-growth.svg")


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call gives, and the seconds it takes."""
    began = time.perf_counter()
    return run(), time.perf_counter() - began


def synthetic(samples: int, width: int, classes: int) -> Sample:
    """Make unit-length features, a fifth as many again for testing."""
    rng = np.random.default_rng(0)
    count = samples * 6 // 5
    y = rng.integers(classes, size=count)
    X = (0.6 * rng.normal(size=(classes, width))[y] + 1.5 * rng.normal(size=(count, width))) / np.sqrt(np.arange(1, width + 1))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    return Sample(X[:samples], y[:samples], X[samples:], y[samples:])


def real(store: str) -> list[tuple[str, Sample]]:
    """Read Reuters R8 and TREC, where they are there."""
    from extract import Columns, extract, load_samples

    found = []
    for name, file in (("Reuters R8", "r8.csv"), ("TREC", "trec.csv")):
        path = ROOT.parent / "shared/data" / file
        if path.is_file():
            samples = load_samples(path, Columns("text", "label", "split"))
            features = extract(samples, "all-MiniLM-L6-v2", store)
            X, split = features.array(), np.array(samples.splits)[features.rows]
            y = np.unique(np.array(samples.labels)[features.rows], return_inverse=True)[1]
            train = split == "train"
            found.append((name, Sample(X[train], y[train], X[~train], y[~train])))
    return found


if __name__ == "__main__":
    main()
