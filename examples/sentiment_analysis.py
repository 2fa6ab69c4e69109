"""Tell praise from blame: rated sentences, a frozen encoder, a small network on its features, and what it gets most wrong.

`python examples/sentiment_analysis.py` takes about a minute the first time. `--backbone distilbert-base-uncased` takes
another encoder, `--unfreeze 1` goes on with the encoder's topmost block, which takes minutes without a GPU.
"""

import argparse
from pathlib import Path

from pipelines import DatasetLoader, FeatureBasedModel, FeatureBasedTrainer

SENTENCES = Path(__file__).parent / "data" / "sentences.csv"


def main() -> None:
    """Train, perhaps unfreeze, test, and show the most confident mistakes."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--backbone", default="all-MiniLM-L6-v2")
    options.add_argument("--samples", type=int, default=600, help="most samples of each split")
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument("--unfreeze", type=int, default=0, help="topmost blocks that learn, too, for one epoch more")
    chosen = options.parse_args()

    data = DatasetLoader.load_dataset(SENTENCES, task="sentiment_analysis", label="sentiment", limit=chosen.samples)
    classes = sorted(set(data["train"].labels))
    model = FeatureBasedModel.from_pretrained(
        chosen.backbone, task="sentiment_analysis", num_classes=len(classes), classifier="mlp", dropout=0.3
    )
    trainer = FeatureBasedTrainer(model, data["train"], data["validation"], patience=5)
    trainer.train(num_epochs=chosen.epochs)
    if chosen.unfreeze:
        trainer.unfreeze_layers([-1 - number for number in range(chosen.unfreeze)])
        trainer.train(num_epochs=1, learning_rate=2e-5)

    found = trainer.evaluate(data["test"])["accuracy"]
    print(f"test accuracy: {found.value:.3f} ({found.low:.3f} to {found.high:.3f})")
    probabilities = trainer.predict_proba(data["test"])
    rows = zip(data["test"].inputs, data["test"].labels, probabilities, strict=True)
    wrong = [(sure.max(), model.classes[sure.argmax()], true, text) for text, true, sure in rows]
    for share, taken, true, text in sorted((row for row in wrong if row[1] != row[2]), reverse=True)[:3]:
        print(f"{true}, taken for {taken} at {share:.2f}: {text}")


if __name__ == "__main__":
    main()
