"""24 MLP heads: the stack, our own loop one by one, and one over a DataLoader: `python -m benchmarks.mlp_sweep [--store DIR]`.

All three train on the same samples, watch the same part held out after every epoch and keep the best weights; accuracies are
those on test samples. Data: Reuters R8 through all-MiniLM-L6-v2 where `../shared/data` is there (extracted into the store
once), else synthetic features of the same size. Each pair of widths and batch size is timed in one run.
"""

import argparse
import copy
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import tables
from benchmarks.heads import Sample, real, synthetic
from heads import MLPHead
from heads.held_out import choose_held_out
from heads.solvers.engine import read_task
from heads.solvers.mlp import MLPEngine

WIDTHS = ((32, 64, 128), (64, 256, 512))
BATCH_SIZES = (32, 64, 256, 512)
EPOCHS = 4


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="features", help="where features are kept")
    parser.add_argument("--widths", type=int, choices=range(len(WIDTHS)), help="one set of widths only, by its number")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    name, sample = next(iter(real(options.store)), ("synthetic 5,485 x 384, 8 classes", synthetic(5485, 384, 8)))
    chosen = WIDTHS if options.widths is None else (WIDTHS[options.widths],)
    print(f"\nMLP head, 24 configurations, {EPOCHS} epochs, {name}, {torch.get_num_threads()} threads")
    print("Ratios by the clock, and by processor time\n")
    headings = (
        "hidden units", "batch size", "stack", "our loop, one by one", "loop over a DataLoader", "share of the GEMM limit",
        "stack against our loop (points)", "test accuracy, stack", "test accuracy, DataLoader",
    )  # fmt: skip
    print(tables.markdown(headings, []), flush=True)
    for widths in chosen:
        for batch_size in options.batch_sizes:
            print(f"| {' | '.join(measure(sample, widths, batch_size))} |", flush=True)


def measure(sample: Sample, widths: Sequence[int], batch_size: int) -> tuple[str, ...]:
    """Train the 24 in all three ways and return a line of the table."""
    trials = [
        MLPHead(hidden=hidden, dropout=dropout, lr=lr, weight_decay=decay, batch_size=batch_size, max_epochs=EPOCHS)
        for hidden in widths
        for dropout in (0.0, 0.2)
        for lr in (3e-4, 1e-3)
        for decay in (1e-2, 1e-1)
    ]
    X, y = np.concatenate([sample.X, sample.X_test]), np.concatenate([sample.y, sample.y_test])
    count = len(sample.y)
    task = read_task(X, y, None, [(np.arange(count), np.arange(count, len(y)))])
    assert task is not None
    solved, *stack = timed(lambda: dict(MLPEngine().solve(trials, task)))
    alone, *ours = timed(lambda: [head.fit(sample.X, sample.y).score(sample.X_test, sample.y_test) for head in trials])
    plain, *theirs = timed(lambda: [plain_loop(head, sample) for head in trials])
    together = [(solved[number][0].predicted == task.codes[count:]).mean() for number in range(len(trials))]
    return (
        ", ".join(map(str, widths)),
        str(batch_size),
        f"{stack[0]:.2f} s",
        *(f"{way[0] / stack[0]:.1f}x, {way[1] / stack[1]:.1f}x" for way in (ours, theirs)),
        f"{gemm_limit(trials, count, X.shape[1]) / stack[0]:.0%}",
        f"{100 * np.abs(np.subtract(together, alone)).max():.2f}",
        *(f"{np.mean(found):.4f} ± {np.std(found):.4f}" for found in (together, plain)),
    )


def plain_loop(head: MLPHead, sample: Sample) -> float:
    """Train as everybody does, with early stopping on the same samples as the head; return the test accuracy."""
    torch.manual_seed(0)
    held_out = choose_held_out(len(sample.y), sample.y, None, head.validation_fraction, 0)
    scaler = StandardScaler().fit(sample.X)
    X, X_test = (torch.as_tensor(scaler.transform(part)) for part in (sample.X, sample.X_test))
    y = torch.as_tensor(sample.y)
    train, watched = (TensorDataset(X[rows], y[rows]) for rows in (~held_out, held_out))
    loader, watching = DataLoader(train, head.batch_size, shuffle=True), DataLoader(watched, head.batch_size)
    layers = [nn.Linear(X.shape[1], head.hidden), nn.ReLU(), nn.Dropout(head.dropout)]
    model = nn.Sequential(*layers, nn.Linear(head.hidden, int(y.max()) + 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=head.lr, weight_decay=head.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, head.max_epochs * len(loader))
    best, best_weights = float("inf"), copy.deepcopy(model.state_dict())
    for _ in range(head.max_epochs):
        model.train()
        for features, codes in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(features), codes)
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        total = 0.0
        with torch.no_grad():
            for features, codes in watching:
                total += nn.functional.cross_entropy(model(features), codes, reduction="sum").item()
        if total < best:
            best, best_weights = total, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_weights)
    with torch.no_grad():
        return float((model(X_test).argmax(dim=1).numpy() == sample.y_test).mean())


def gemm_limit(trials: Sequence[MLPHead], samples: int, width: int, repeats: int = 20) -> float:
    """Return the seconds that the products of all first layers, forwards and for the gradient, take alone."""
    units, batch = sum(head.hidden for head in trials), trials[0].batch_size
    weight, X, slopes = torch.randn(units, width), torch.randn(batch, width), torch.randn(units, batch)
    found, gradient = torch.empty(units, batch), torch.empty(units, width)

    def products() -> None:
        for _ in range(repeats):
            torch.mm(weight, X.t(), out=found)
            torch.mm(slopes, X, out=gradient)

    seconds = min(timed(products)[1] for _ in range(3)) / repeats
    return seconds * trials[0].max_epochs * samples * (1 - trials[0].validation_fraction) / batch


def timed(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what a call gives, its seconds by the clock, and its processor time."""
    began, used = time.perf_counter(), time.process_time()
    found = run()
    return found, time.perf_counter() - began, time.process_time() - used


if __name__ == "__main__":
    main()
