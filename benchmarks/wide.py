"""Linear sweeps on more features than samples: `python -m benchmarks.wide [--widths 2000 50000]`.

2,000 samples of 6 classes, 5 penalties x 3 folds, features as they come and standardised: `SweepCV(LinearHead)` against
`GridSearchCV` of scikit-learn's `LogisticRegression` at its default tolerance (behind `StandardScaler` where features are
standardised), one thread each. Every way runs in a process of its own: processor time, and the most memory beyond what
stood there with the features.
"""

import argparse
import multiprocessing
import os
import resource
import time
import warnings
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import tables
from heads import LinearHead, SweepCV

SAMPLES, CLASSES = 2000, 6
PENALTIES = np.logspace(-6, -2, 5)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[2000, 10_000, 50_000])
    options = parser.parse_args()
    rows, base = [], {}
    for standardize in (False, True):
        for width in options.widths:
            ours, memory, score = alone("headstart", width, standardize)
            theirs, their_memory, their_score = alone("scikit-learn", width, standardize)
            narrow = base.setdefault(standardize, ours)
            rows.append(
                (
                    f"{width:,}{', standardised' if standardize else ''}",
                    f"{ours:.1f} s",
                    f"{ours / narrow:.1f}x",
                    f"{theirs / ours:.1f}x",
                    f"{memory:,.0f} MB",
                    f"{their_memory:,.0f} MB",
                    f"{100 * np.abs(score - their_score).max():.2f}",
                )
            )
    headings = (
        "features",
        "SweepCV",
        "against the narrowest",
        "GridSearchCV / SweepCV",
        "memory",
        "GridSearchCV's",
        "points off",
    )
    print(tables.markdown(headings, rows))


def alone(way: str, width: int, standardize: bool) -> tuple[float, float, np.ndarray]:
    """Measure a way in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (way, width, standardize))


def measure(way: str, width: int, standardize: bool) -> tuple[float, float, np.ndarray]:
    """Return processor seconds, MB at most beyond what stood there before, and the penalties' accuracies."""
    warnings.simplefilter("ignore")
    X, y = features(width)
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    sweep: Any
    if way == "headstart":
        sweep = SweepCV(LinearHead(standardize=standardize), {"C": PENALTIES}, cv=cv, refit=False)
    elif standardize:
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        sweep = GridSearchCV(pipeline, {"logisticregression__C": PENALTIES}, cv=cv, refit=False)
    else:
        sweep = GridSearchCV(LogisticRegression(max_iter=1000), {"C": PENALTIES}, cv=cv, refit=False)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    sweep.fit(X, y)
    seconds = time.process_time() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return seconds, grown, sweep.cv_results_["mean_test_score"]


def features(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Make features of 50 directions that vary together, some of which tell classes apart, and noise."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((SAMPLES, 50), np.float32)
    X = rng.standard_normal((SAMPLES, width), np.float32)
    for begin in range(0, width, 1000):  # in place, so that the memory measured is not the making's
        part = X[:, begin : begin + 1000]
        part *= 3
        part += hidden @ rng.standard_normal((50, part.shape[1]), np.float32)
    return X, hidden[:, :CLASSES].argmax(axis=1)


if __name__ == "__main__":
    main()
