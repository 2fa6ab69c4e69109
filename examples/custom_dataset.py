"""Data of your own, in the forms that it comes in: a file with other columns, pairs, a torch data set.

`python examples/custom_dataset.py` trains on each, in a few seconds: it is the same texts, so that their features are
extracted once.
"""

import json
import random
import tempfile
from pathlib import Path

from torch.utils.data import Dataset

from pipelines import DatasetLoader, FeatureBasedModel, FeatureBasedTrainer

THINGS = ("kettle", "lamp", "chair", "phone", "jacket", "radio", "bicycle", "clock")
WORDS = {
    "praise": ("works beautifully", "was worth every penny", "made my week", "never let me down"),
    "complaint": ("broke on the first day", "never arrived", "smells of glue", "has to go back"),
}


def write_reviews(file: Path, count: int = 160) -> None:
    """Write JSON lines whose columns are called `review` and `kind`."""
    rng = random.Random(0)
    with open(file, "w", encoding="utf-8") as out:
        for number in range(count):
            kind = ("praise", "complaint")[number % 2]
            review = f"The {rng.choice(THINGS)} I ordered in week {rng.randint(1, 52)} {rng.choice(WORDS[kind])}."
            out.write(json.dumps({"review": review, "kind": kind}) + "\n")


class Reviews(Dataset):
    """A data set as torch knows them: whatever makes an item may stand in `__getitem__`."""

    def __init__(self, file: Path) -> None:
        self.rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[str, str]:
        return self.rows[number]["review"], self.rows[number]["kind"]


def main() -> None:
    """Train on every form."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "reviews.jsonl")
        write_reviews(file)
        parts = DatasetLoader.load_dataset(file, text="review", label="kind")
        own = Reviews(file)
        forms = {
            "a file": (parts["train"], parts["validation"]),
            "pairs": ([own[number] for number in range(len(own))], None),
            "columns": ({"text": [text for text, _ in own], "label": [kind for _, kind in own]}, None),
            "a torch data set": (own, None),
        }
        for name, (train, evaluation) in forms.items():
            model = FeatureBasedModel.from_pretrained("all-MiniLM-L6-v2", num_classes=2, store=f"{folder}/features")
            trainer = FeatureBasedTrainer(model, train, evaluation, say=None)
            trainer.train(num_epochs=10)
            print(f"{name}: test accuracy {trainer.evaluate(parts['test'])['accuracy'].value:.2f}")


if __name__ == "__main__":
    main()
