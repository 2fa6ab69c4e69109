"""A head of your own: a torch module on cached features, swept over its settings, and as the classifier of a model.

`python examples/custom_head.py` takes about a minute the first time.
"""

import argparse
import csv
from pathlib import Path

import torch
from torch import nn

from extract import extract
from heads import LinearHead, SweepCV, TorchHead
from pipelines import FeatureBasedModel, FeatureBasedTrainer

SENTENCES = Path(__file__).parent / "data" / "sentences.csv"


class Cosine(nn.Module):
    """Scores by the cosine between a feature and a direction for each class, times a temperature that is learnt."""

    def __init__(self, input_dim: int, num_classes: int, temperature: float = 10.0) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(num_classes, input_dim) / input_dim**0.5)
        self.temperature = nn.Parameter(torch.tensor(temperature))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits `[b, c]` of features `[b, d]`."""
        unit = nn.functional.normalize
        return self.temperature * unit(features, dim=1) @ unit(self.directions, dim=1).T


def read_sentences(split: str, count: int) -> tuple[list[str], list[str]]:
    """Return texts and their domains, evenly over a split."""
    with open(SENTENCES, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    rows = rows[:: max(len(rows) // count, 1)]
    return [row["text"] for row in rows], [row["domain"] for row in rows]


def main() -> None:
    """Try the head three ways."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--backbone", default="all-MiniLM-L6-v2")
    options.add_argument("--samples", type=int, default=500, help="about so many of each split")
    chosen = options.parse_args()
    (texts, labels), (new, true) = (read_sentences(split, chosen.samples) for split in ("train", "test"))
    X, X_new = (extract(part, chosen.backbone).array() for part in (texts, new))

    print(f"logistic regression: {LinearHead().fit(X, labels).score(X_new, true):.3f}")
    head = TorchHead(module=Cosine, lr=1e-2, max_epochs=20)
    grid = {"module_params": [{"temperature": 1.0}, {"temperature": 10.0}], "weight_decay": [0.0, 0.1]}
    sweep = SweepCV(head, grid, cv=3).fit(X, labels)
    print(f"cosine, best of {len(sweep.cv_results_['params'])} settings: {sweep.score(X_new, true):.3f}, {sweep.best_params_}")

    model = FeatureBasedModel.from_pretrained(chosen.backbone, num_classes=len(set(labels)), classifier=Cosine)
    trainer = FeatureBasedTrainer(model, (texts, labels), learning_rate=1e-2, say=None)
    trainer.train(num_epochs=5)
    print(f"cosine as a model's classifier: {trainer.evaluate((new, true))['accuracy'].value:.3f}")


if __name__ == "__main__":
    main()
