"""Unfreezing the top blocks: what the frozen ones give computed once, against the whole model in the loop.

    python -m benchmarks.unfreeze ../shared/data/trec.csv

All ways train the same model on the same batches, taking turns by the epoch, so that whatever else the machine does meets
all of them: (1) from the boundary on, (2) with the whole model in the loop, in pieces of similar lengths as in (1), and (3) so
with every batch padded to its longest text, as loops usually do. Their losses are compared; dropout is off in all, or, with
`--dropout`, as the model has it, which (3) then draws in another order. Times hold evaluation after every epoch and, for (1),
all it takes to find, compute and read the boundary.
"""

import argparse
import tempfile
import threading
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.tables import markdown
from extract import Columns, load_samples
from heads import Callback
from pipelines import FeatureBasedModel, FeatureBasedTrainer
from pipelines.models.labelled import read_labelled
from pipelines.models.settling import settle_scaling, settle_targets

WAYS = {
    "from the boundary on": {},
    "whole model, in pieces": {"cache_boundary": False},
    "whole model, padded": {"cache_boundary": False, "pieces": False},
}


class Turns:
    """Lets one thread work at a time, each until the end of its epoch; the state of torch's random numbers goes with it."""

    def __init__(self, names: list[str]) -> None:
        self.left = list(names)
        self.turn = names[0]
        self.change = threading.Condition()
        self.states: dict[str, torch.Tensor] = {}

    def take(self, name: str) -> None:
        with self.change:
            self.change.wait_for(lambda: self.turn == name)
        if name in self.states:
            torch.set_rng_state(self.states[name])

    def give(self, name: str, done: bool = False) -> None:
        self.states[name] = torch.get_rng_state()
        with self.change:
            place = self.left.index(name)
            if done:
                self.left.remove(name)
            if self.left:
                self.turn = self.left[(place + (not done)) % len(self.left)]
            self.change.notify_all()


class Watch(Callback):
    """Measures a way's own time, epoch by epoch, and hands the turn on."""

    def __init__(self, turns: Turns, name: str) -> None:
        self.turns, self.name = turns, name
        self.seconds: list[float] = []

    def begin(self) -> None:
        self.turns.take(self.name)
        self.since = time.perf_counter()

    def on_epoch_end(self, state: Any) -> None:
        self.seconds.append(time.perf_counter() - self.since)
        self.turns.give(self.name)
        self.turns.take(self.name)
        self.since = time.perf_counter()


def measure(args: argparse.Namespace, folder: str) -> dict[str, tuple[list[float], Any]]:
    """Train all ways in turns; return name -> seconds by epoch and history."""
    data = read_labelled(load_samples(args.data, Columns("text", "label", "split")))
    splits = np.array(data.samples.splits)
    train = data.take(np.flatnonzero(splits == "train")[: args.samples])
    test = data.take(np.flatnonzero(splits == "test"))
    turns, found, threads = Turns(list(WAYS)), {}, []

    def work(name: str) -> None:
        watch = Watch(turns, name)
        turns.take(name)
        torch.manual_seed(0)
        store = tempfile.mkdtemp(dir=folder)
        classes = len(set(train.labels or ()))
        model = FeatureBasedModel.from_pretrained(args.backbone, num_classes=classes, store=store, device="cpu")
        if not args.dropout:
            for module in model.backbone.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0
                if hasattr(module, "dropout_prob"):
                    module.dropout_prob = 0.0
        trainer = FeatureBasedTrainer(model, train, test, callbacks=[watch], say=None, **WAYS[name])
        # the features' scaling is all ways' own, and is no part of what is compared
        settle_targets(model, trainer.train_data, trainer.eval_data, trainer.say)
        settle_scaling(model, trainer.train_data, trainer.batch_size)
        trainer.unfreeze_layers([-1 - number for number in range(args.top)])
        turns.give(name)
        watch.begin()
        trainer.train(args.epochs, learning_rate=args.lr)
        found[name] = (watch.seconds, trainer.history)
        turns.give(name, done=True)

    for name in WAYS:
        threads.append(threading.Thread(target=work, args=(name,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a table with text, label and split (train, test)")
    parser.add_argument("--backbone", default="all-MiniLM-L6-v2")
    parser.add_argument("--top", type=int, default=2, help="blocks that learn")
    parser.add_argument("--samples", type=int, help="the first so many training samples; all by default")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--lr", type=float, default=1e-4, help="of the top block")
    parser.add_argument("--dropout", action="store_true", help="leave dropout as the model has it, where it learns")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args, folder)
    first_seconds, first = next(iter(found.values()))
    rows = []
    for name, (seconds, history) in found.items():
        apart = max(
            float(np.abs(np.array(getattr(first, series)) - np.array(getattr(history, series))).max())
            for series in ("train_loss", "validation_loss")
        )
        rows.append(
            (
                name,
                f"{seconds[0]:.1f}",
                f"{np.mean(seconds[1:]):.1f}",
                f"{np.mean(seconds):.1f}",
                f"{np.mean(seconds) / np.mean(first_seconds):.2f}",
                f"{apart:.1e}",
                f"{history.validation_accuracy[-1]:.3f}",
            )
        )
    head = ("way", "first epoch, s", "later epochs, s", f"mean of {args.epochs}, s", "ratio", "losses apart", "accuracy")
    print(markdown(head, rows))


if __name__ == "__main__":
    main()
