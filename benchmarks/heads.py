"""Sweeps of heads, side by side with scikit-learn and plain loops: `python -m benchmarks.heads [--part NAME] [--device cuda]`.

Every part times all its ways in one run. Data: Reuters R8 and TREC through all-MiniLM-L6-v2 where `../shared/data` is there
(extracted into the store once), and synthetic features with a spectrum that falls like a sentence encoder's.
"""

import argparse
import multiprocessing
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import tables
from heads import KNNHead, LDAHead, LinearHead, RidgeHead, SweepCV, few_shot_curve
from heads.devices import WORTH_A_GPU, solving_device
from heads.solvers import logistic, stack
from heads.solvers.engine import read_task
from heads.solvers.linear import LinearEngine
from heads.solvers.products import product

ROOT = Path(__file__).parents[1]
PENALTIES = np.logspace(-3, 3, 20)
MIDDLE = {"samples": 16_000, "width": 256, "classes": 16, "trials": 20}
FEW = (10, 30, 100, 300)
"""Samples a class, where there are so many."""
LOW_LIMIT = 64 * 2**20
"""Bytes for a stack in growth: low enough that most sizes are split."""
LINEAR_HEADINGS = (
    "data",
    "SweepCV",
    "GridSearchCV",
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
    parts: dict[str, Callable[[argparse.Namespace], None]] = {
        "linear": linear,
        "large": large,
        "few-shot": few_shot,
        "engines": engines,
        "few": few,
        "growth": growth,
    }
    parser.add_argument("--part", choices=list(parts), help="one part only")
    parser.add_argument("--store", default="features", help="where features are kept")
    parser.add_argument("--device", default="cpu", help="of linear sweeps: cpu, cuda or auto")
    parser.add_argument("--jobs", type=int, default=2, help="processes of scikit-learn in linear sweeps")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, part in parts.items():
        if options.part in (None, name):
            part(options)


def linear(asked: argparse.Namespace) -> None:
    """20 penalties x 5 folds: seconds, distance to the minimum, and accuracies, against scikit-learn."""
    data = [*real(asked.store), ("synthetic 11,293 x 384, 20 classes", synthetic(11_293, 384, 20))]
    print("\nLinear head, 20 penalties x 5 folds\n")
    print(tables.markdown(LINEAR_HEADINGS, [compare(name, sample, PENALTIES, 5, asked) for name, sample in data]))


def large(asked: argparse.Namespace) -> None:
    """The sweep of 50,000 x 768 features in 100 classes; a converged reference of it would take hours, so there is none."""
    sample = synthetic(50_000, 768, 100)
    print("\nLinear head, 20 penalties x 5 folds\n")
    row = compare("synthetic 50,000 x 768, 100 classes", sample, PENALTIES, 5, asked, check=False)
    print(tables.markdown(LINEAR_HEADINGS, [row]))


def compare(
    name: str, sample: Sample, penalties: np.ndarray, folds: int, asked: argparse.Namespace, check: bool = True
) -> tuple[str, ...]:
    """Time one sweep both ways, and look at how far the answers are from the minimum and from each other."""
    device, cv = asked.device, StratifiedKFold(folds, shuffle=True, random_state=0)
    splits = list(cv.split(sample.X, sample.y))
    began = time.process_time()
    sweep = SweepCV(LinearHead(device=device), {"C": penalties}, cv=cv, refit=False)
    ours, seconds = timed(lambda: sweep.fit(sample.X, sample.y))
    processor = time.process_time() - began
    reference = GridSearchCV(LogisticRegression(max_iter=1000), {"C": penalties}, cv=cv, n_jobs=asked.jobs, refit=False)
    theirs, their_seconds = timed(lambda: reference.fit(sample.X, sample.y))
    reached = ours.cv_results_["mean_test_score"]
    gap, expected = distance(sample, splits, penalties, device) if check else (np.nan, theirs.cv_results_["mean_test_score"])
    work = sum(passes(sample, splits, penalties, device)) / seconds
    return (
        name,
        f"{seconds:.1f} s",
        f"{their_seconds:.1f} s",
        f"{their_seconds / seconds:.1f}x",
        f"{processor:.1f} s",
        f"{100 * work / product_limit(device):.0f}%",
        f"{gap:.0e}" if check else "",
        f"{100 * np.abs(reached - expected).max():.3f}" if check else "",
        best_agree(reached, expected, len(sample.y)),
    )


def best_agree(found: np.ndarray, expected: np.ndarray, count: int) -> str:
    """Say whether the best penalty is the same, or by how many samples of all folds scikit-learn's fits tell the two apart."""
    ours, theirs = int(found.argmax()), int(expected.argmax())
    if ours == theirs:
        return "same"
    samples = (expected[theirs] - expected[ours]) * count
    return "a tie" if samples <= 1.01 else f"{samples:.0f} samples apart"


def passes(sample: Sample, splits: Sequence[tuple[np.ndarray, np.ndarray]], penalties: np.ndarray, device: str) -> list[float]:
    """Solve once more, counting the operations of all products with the features."""
    counted = []

    def counting(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        counted.append(2.0 * len(a) * a.shape[1] * b.shape[1])
        return product(a, b)

    task = read_task(sample.X, sample.y, None, splits)
    assert task is not None
    with patch.object(stack, "product", counting):
        list(LinearEngine().solve([LinearHead(C=C, device=device) for C in penalties], task))
    return counted


def product_limit(device: str) -> float:
    """Return the operations a second of a large float32 matrix product."""
    a = torch.rand(4096, 4096, device=solving_device(device, WORTH_A_GPU))
    return 2 * 4096**3 / min(timed(lambda: float(product(a, a)[0, 0]))[1] for _ in range(3))


def distance(
    sample: Sample, folds: Sequence[tuple[np.ndarray, np.ndarray]], penalties: np.ndarray, device: str
) -> tuple[float, np.ndarray]:
    """Return how far an objective is at most from a converged fit's, relative, and the converged fits' accuracies by trial."""
    trials = [LinearHead(C=C, device=device) for C in penalties]
    task = read_task(sample.X, sample.y, None, folds)
    assert task is not None
    X, y = sample.X.astype(np.float64), sample.y
    gaps, accuracies = [], np.zeros(len(trials))
    for number, solved in LinearEngine().solve(trials, task):
        C = trials[number].C
        for (train, test), one in zip(folds, solved, strict=True):
            best = LogisticRegression(C=C, tol=1e-8, max_iter=1000, solver="newton-cg").fit(X[train], y[train])
            found, least = (objective(X[train], y[train], head.coef_, head.intercept_, C) for head in (one.head(), best))
            gaps.append(found / least - 1)
            accuracies[number] += best.score(X[test], y[test]) / len(folds)
    return max(gaps), accuracies


def objective(X: np.ndarray, y: np.ndarray, coef: np.ndarray, intercept: np.ndarray, C: float) -> float:
    """Return scikit-learn's objective."""
    logits = torch.as_tensor(X @ coef.T.astype(np.float64) + intercept)
    losses = torch.nn.functional.cross_entropy(logits, torch.as_tensor(y), reduction="sum")
    return C * float(losses) + float((coef.astype(np.float64) ** 2).sum()) / 2


def few_shot(asked: argparse.Namespace) -> None:
    """20 draws x 8 sizes."""
    rows = []
    for name, sample in real(asked.store)[:1] or [("synthetic", synthetic(5485, 384, 8))]:
        curve, seconds = timed(lambda s=sample: few_shot_curve(s.X, s.y, s.X_test, s.y_test, seeds=20))
        print(f"\nFew-shot curve, {name}: 20 draws x {len(curve.sizes)} sizes in {seconds:.1f} s\n")
        rows = [(str(k), f"{m:.3f}", f"{d:.3f}") for k, m, d in zip(curve.sizes, curve.mean, curve.deviation, strict=True)]
    print(tables.markdown(("samples a class", "accuracy", "deviation over draws"), rows))


def engines(asked: argparse.Namespace) -> None:
    """Sweeps of heads with an engine against the same head in GridSearchCV, both on one thread: processor time."""
    sample = synthetic(5485, 384, 8)
    several = (sample.y[:, None] < np.arange(1, 8)).astype(int)
    votes = {"k": [1, 3, 5, 10, 20, 50], "weights": ["uniform", "distance", "softmax"]}
    sweeps: list[tuple[str, Any, dict[str, Any], np.ndarray]] = [
        ("k-NN, 6 k x 3 votes", KNNHead(), votes, sample.y),
        ("ridge, 10 penalties", RidgeHead(), {"alphas": np.logspace(-4, 1, 10).tolist()}, sample.y),
        ("LDA, 10 shrinkages", LDAHead(), {"shrinkage": np.linspace(0.05, 0.95, 10).tolist()}, sample.y),
        ("linear, 7 labels a sample, 5 penalties", LinearHead(), {"C": np.logspace(-2, 2, 5)}, several),
        (
            "linear, 7 labels a sample, 5 penalties, balanced",
            LinearHead(class_weight="balanced"),
            {"C": np.logspace(-2, 2, 5)},
            several,
        ),
    ]
    rows = []
    for name, head, grid, y in sweeps:
        found, spent = [], []
        for search in (SweepCV, GridSearchCV):
            fitted, seconds = worked(partial(search(head, grid, cv=3, refit=False, n_jobs=1).fit, sample.X, y))
            found.append(fitted.cv_results_["mean_test_score"])
            spent.append(seconds)
        off = np.abs(found[0] - found[1]).max()
        rows.append((name, f"{spent[0]:.1f} s", f"{spent[1]:.1f} s", f"{spent[1] / spent[0]:.1f}x", f"{100 * off:.3f}"))
    print("\nSweeps on synthetic 5,485 x 384 in 8 classes, 3 folds, processor time\n")
    print(tables.markdown(("sweep", "SweepCV", "GridSearchCV", "ratio", "accuracy off by at most (points)"), rows))


def few(asked: argparse.Namespace) -> None:
    """20 penalties x 5 folds on few samples, raw and standardised in each fold, both ways on one thread: processor time."""
    rows = []
    for name, sample in real(asked.store)[1:]:
        shuffled = np.random.default_rng(0).permutation(len(sample.y))
        for count in FEW:
            chosen = np.concatenate([shuffled[sample.y[shuffled] == code][:count] for code in np.unique(sample.y)])
            X, y = sample.X[chosen].astype(np.float64), sample.y[chosen]
            cv = StratifiedKFold(5, shuffle=True, random_state=0)
            for standardize in (False, True):
                scaled = [("scale", StandardScaler())] if standardize else []
                alone = Pipeline([*scaled, ("head", LogisticRegression(max_iter=1000))])
                together = SweepCV(LinearHead(standardize=standardize), {"C": PENALTIES}, cv=cv, refit=False, n_jobs=1)
                reference = GridSearchCV(alone, {"head__C": PENALTIES}, cv=cv, refit=False, n_jobs=1)
                ours, theirs = (worked(partial(search.fit, X, y))[1] for search in (together, reference))
                kind = "standardised" if standardize else "as they are"
                rows.append((name, f"{len(y):,}", kind, f"{ours:.2f} s", f"{theirs:.2f} s", f"{theirs / ours:.1f}x"))
    print("\nLinear head, 20 penalties x 5 folds on few samples, processor time\n")
    print(tables.markdown(("data", "samples", "features", "SweepCV", "GridSearchCV", "ratio"), rows))


def growth(asked: argparse.Namespace) -> None:
    """Time and peak memory against samples, width, classes and trials, each from the same middle; a plot into docs/images."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 4, figsize=(13, 5.5), sharex="col", sharey="row")
    rows = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:  # a new process for every point
        for column, name in zip(axes.T, MIDDLE, strict=True):
            values = [int(MIDDLE[name] * factor) for factor in ((0.25, 1, 4, 16) if name == "trials" else (0.25, 0.5, 1, 2, 4))]
            for limit in (None, LOW_LIMIT) if name == "trials" else (None,):
                label = "together" if limit is None else f"split: at most {limit >> 20} MiB"
                found = [pool.apply(measure_point, (MIDDLE | {name: value}, limit)) for value in values]
                for axis, series in zip(column, zip(*found, strict=True), strict=True):
                    axis.plot(values, series, "o-", label=label)
                cells = [f"{value:,}: {took:.2f} s, {held:.0f} MiB" for value, (took, held) in zip(values, found, strict=True)]
                rows.append((name if limit is None else f"{name}, {label}", "; ".join(cells)))
            column[1].set(xlabel=name, xscale="log", yscale="log")
            column[1].set_xticks(values, [f"{value:,}" for value in values])
            column[1].xaxis.set_tick_params(which="minor", bottom=False, labelbottom=False)
    axes[0, 0].set(ylabel="seconds, 5 folds", yscale="log")
    axes[1, 0].set_ylabel("peak memory, MiB")
    axes[0, 3].legend()
    figure.tight_layout()
    figure.savefig(ROOT / "docs/images/sweep-growth.svg")
    print("\nGrowth from " + ", ".join(f"{value:,} {name}" for name, value in MIDDLE.items()) + "; 5 folds\n")
    print(tables.markdown(("against", "time and peak memory over the features"), rows))


def measure_point(size: dict[str, int], limit: int | None) -> tuple[float, float]:
    """Return the seconds of a sweep, and by how many MiB the process grows at most during it (Linux)."""
    warnings.simplefilter("ignore")
    small, sample = synthetic(200, 16, 3), synthetic(size["samples"], size["width"], size["classes"])
    SweepCV(LinearHead(), {"C": [1.0]}, cv=2, refit=False).fit(small.X, small.y)  # loads what is loaded when first used
    sweep = SweepCV(LinearHead(), {"C": np.logspace(-2, 2, size["trials"])}, cv=5, refit=False)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    with patch.object(logistic, "MEMORY_LIMIT", limit or logistic.MEMORY_LIMIT):
        _, seconds = timed(lambda: sweep.fit(sample.X, sample.y))
    return seconds, resident("VmHWM") - before


def resident(name: str) -> float:
    """Return the process's memory (`VmRSS`) or its peak (`VmHWM`) in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call gives, and the seconds it takes."""
    began = time.perf_counter()
    return run(), time.perf_counter() - began


def worked(run: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call gives, and the processor seconds it takes."""
    began = time.process_time()
    return run(), time.process_time() - began


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
