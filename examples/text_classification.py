"""Tell kinds of text apart: sentences of four domains, a frozen encoder, and a linear classifier on its features.

`python examples/text_classification.py` takes about a minute the first time, and a few seconds once the features are
cached. `--backbone bert-base-uncased` (or any other name, or a folder) takes another encoder, `--data reviews.csv --label
topic` other data.
"""

import argparse
from pathlib import Path

from pipelines import DatasetLoader, FeatureBasedModel, FeatureBasedTrainer

SENTENCES = Path(__file__).parent / "data" / "sentences.csv"


def main() -> None:
    """Train, test, and classify two new sentences."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--backbone", default="all-MiniLM-L6-v2")
    options.add_argument("--data", default=SENTENCES, help="a file, a folder, or a name on the hub")
    options.add_argument("--label", default="domain", help="the column of labels")
    options.add_argument("--samples", type=int, default=600, help="most samples of each split")
    options.add_argument("--epochs", type=int, default=10)
    chosen = options.parse_args()

    data = DatasetLoader.load_dataset(chosen.data, task="text_classification", label=chosen.label, limit=chosen.samples)
    classes = sorted(set(data["train"].labels))
    model = FeatureBasedModel.from_pretrained(
        chosen.backbone, task="text_classification", num_classes=len(classes), freeze_backbone=True
    )
    trainer = FeatureBasedTrainer(model, data["train"], data["validation"])
    trainer.train(num_epochs=chosen.epochs)

    for name, found in trainer.evaluate(data["test"]).items():
        print(f"test {name}: {found.value:.3f} ({found.low:.3f} to {found.high:.3f})")
    new = ["The plot never finds its feet, but the leads are a joy.", "Battery lasts two days, the screen scratches easily."]
    for text, label in zip(new, trainer.predict(new), strict=True):
        print(f"{label}: {text}")


if __name__ == "__main__":
    main()
