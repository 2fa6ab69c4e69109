"""Backbones of your own, in two ways: a module with a preprocessing function, and an adapter with layers.

`python examples/custom_backbone.py` trains a head on both. In a config they are `python:examples/custom_backbone.py:letters`
and `python:examples/custom_backbone.py:words`.
"""

import tempfile

import torch

from extract import Offer, custom_backbone, extract
from extract.backbones.base import Backbone
from extract.pooling import pool
from heads import LinearHead


def count_letters(text: str) -> torch.Tensor:
    """Turn a text into the module's input."""
    return torch.tensor([text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"], dtype=torch.float32)


def letters():
    """Return a module and what makes its input: that is all a backbone needs."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(26, 64), torch.nn.ReLU()), count_letters


class Words(Backbone):
    """An adapter: words' random vectors are its layer 0, and a layer over them its layer 1, both with every pooling."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.ModuleList([torch.nn.Embedding(1000, 32), torch.nn.Linear(32, 32)])

    @classmethod
    def load(cls, checkpoint, spec, device, precision):
        return cls()

    def collate(self, items):
        ids = [torch.tensor([sum(word.encode()) % 999 + 1 for word in text.split()]) for text in items]
        return {"ids": torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)}

    @torch.inference_mode()
    def forward(self, batch, outputs):
        vectors, layer = self.model
        states = [vectors(batch["ids"])]
        states.append(layer(states[0]).tanh())
        return {output.name: pool(states[output.layer], batch["ids"] > 0, output.pooling) for output in outputs}


def words():
    """Return the adapter with what it has to offer."""
    return custom_backbone(Words(), offer=Offer(layers=1))


def main() -> None:
    """Train a head on either backbone."""
    texts = ["what a lovely film", "truly awful", "lovely acting", "an awful plot"] * 5
    labels = ["good", "bad", "good", "bad"] * 5
    with tempfile.TemporaryDirectory() as store:
        for backbone in (custom_backbone(*letters()), words()):
            features = extract(texts, backbone, store)
            head = LinearHead().fit(features.array(), labels)
            print(features.recipe.backbone, features.outputs, f"{head.score(features.array(), labels):.2f}")


if __name__ == "__main__":
    main()
