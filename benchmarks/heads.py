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
from unittest.mock import patch

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from benchmarks import tables
from heads import LinearHead, SweepCV, few_shot_curve
from heads.solvers.engine import read_task
from heads.solvers.linear import LinearEngine
from heads.solvers.products import product
from heads.solvers.stack import Stack

ROOT = Path(__file__).parents[1]
PENALTIES = np.logspace(-3, 3, 20)
LINEAR_HEADINGS = (
    "data",
    "SweepCV",
    "GridSearchCV, n_jobs=2",
    "ratio",
    "SweepCV, processor time",
    "share of the product limit",
    "objective off by",
    "accuracy off by (points)",
    "best C",
)


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
    parts: dict[str, Callable[[str], None]] = {"linear": linear, "large": large, "few-shot": few_shot, "growth": growth}
    parser.add_argument("--part", choices=list(parts), help="one part only")
    parser.add_argument("--store", default="features", help="where features are kept")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, part in parts.items():
        if options.part in (None, name):
            part(options.store)


def linear(store: str) -> None:
    """20 penalties x 5 folds: seconds, distance to the minimum, and accuracies, against scikit-learn."""
    data = [*real(store), ("synthetic 11,293 x 384, 20 classes", synthetic(11_293, 384, 20))]
    print("\nLinear head, 20 penalties x 5 folds\n")
    print(tables.markdown(LINEAR_HEADINGS, [compare(name, sample, PENALTIES, 5) for name, sample in data]))


def large(store: str) -> None:
    """A part of the sweep of 50,000 x 768 features in 100 classes, the same part on both sides: 3 penalties x 2 folds."""
    sample = synthetic(50_000, 768, 100)
    print("\nLinear head, 3 penalties (0.01, 1, 100) x 2 folds\n")
    row = compare("synthetic 50,000 x 768, 100 classes", sample, np.array([1e-2, 1.0, 1e2]), 2, check=False)
    print(tables.markdown(LINEAR_HEADINGS, [row]))


def compare(name: str, sample: Sample, penalties: np.ndarray, folds: int, check: bool = True) -> tuple[str, ...]:
    """Time one sweep both ways, and look at how far the answers are from the minimum and from each other."""
    cv = StratifiedKFold(folds, shuffle=True, random_state=0)
    splits = list(cv.split(sample.X, sample.y))
    began = time.process_time()
    ours, seconds = timed(lambda: SweepCV(LinearHead(), {"C": penalties}, cv=cv, refit=False).fit(sample.X, sample.y))
    processor = time.process_time() - began
    reference = GridSearchCV(LogisticRegression(max_iter=1000), {"C": penalties}, cv=cv, n_jobs=2, refit=False)
    theirs, their_seconds = timed(lambda: reference.fit(sample.X, sample.y))
    gap, accuracy = distance(sample, splits[:1]) if check else (np.nan, np.nan)
    work = sum(passes(sample, splits, penalties)) / seconds
    return (
        name,
        f"{seconds:.1f} s",
        f"{their_seconds:.1f} s",
        f"{their_seconds / seconds:.1f}x",
        f"{processor:.1f} s",
        f"{100 * work / product_limit():.0f}%",
        f"{gap:.0e}" if check else "",
        f"{accuracy:.3f}" if check else "",
        best_agree(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], len(sample.y)),
    )


def best_agree(found: np.ndarray, expected: np.ndarray, count: int) -> str:
    """Say whether the best penalty is the same, or else by how many samples of all folds scikit-learn tells the two apart."""
    ours, theirs = int(found.argmax()), int(expected.argmax())
    if ours == theirs:
        return "same"
    samples = (expected[theirs] - expected[ours]) * count
    return "a tie" if samples <= 1.01 else f"{samples:.0f} samples apart"


def passes(sample: Sample, splits: Sequence[tuple[np.ndarray, np.ndarray]], penalties: np.ndarray) -> list[float]:
    """Solve once more, counting: operations of the matrix products by features in every pass, 4 a sample, axis and logit."""
    counted = []
    plain = Stack._sum_losses

    def counting(stack: Stack, row: int, points: torch.Tensor, target_of: torch.Tensor) -> Any:
        counted.append(4.0 * points.numel() * sum(rows.stop - rows.start for rows in stack.runs[row]))
        return plain(stack, row, points, target_of)

    task = read_task(sample.X, sample.y, None, splits)
    assert task is not None
    with patch.object(Stack, "_sum_losses", counting):
        list(LinearEngine().solve([LinearHead(C=C) for C in penalties], task))
    return counted


def product_limit() -> float:
    """Return the operations a second of a large float32 matrix product."""
    a = torch.rand(4096, 4096)
    return 2 * 4096**3 / min(timed(lambda: product(a, a))[1] for _ in range(3))


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
