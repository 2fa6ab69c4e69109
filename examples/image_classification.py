"""Tell digits apart: pictures, a frozen network for images, and a linear classifier on its features.

`python examples/image_classification.py` runs EfficientNet-Lite0 over the handwritten digits that come with scikit-learn, in
about a minute the first time. `--data folder/of/pictures` (with a folder for each class) takes other pictures, `--backbone
resnet50` another network.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

from pipelines import DatasetLoader, FeatureBasedModel, FeatureBasedTrainer


def digits() -> dict[str, list]:
    """Return columns of pictures `[8, 8]` uint8 and their labels."""
    found = load_digits()
    return {"image": [np.uint8(picture / 16 * 255) for picture in found.images], "label": [str(code) for code in found.target]}


def main() -> None:
    """Train, test, and say which digits are taken for which."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--backbone", default="efficientnet-lite0")
    options.add_argument("--data", default=None, help="a folder of pictures by class; the digits by default")
    options.add_argument("--samples", type=int, default=600, help="most samples of each split")
    options.add_argument("--size", type=int, default=96, help="height and width that pictures are brought to")
    options.add_argument("--epochs", type=int, default=15)
    chosen = options.parse_args()

    data = DatasetLoader.load_dataset(chosen.data or digits(), task="image_classification", limit=chosen.samples)
    model = FeatureBasedModel.from_pretrained(
        chosen.backbone,
        task="image_classification",
        num_classes=len(set(data["train"].labels)),
        freeze_backbone=True,
        image_size=chosen.size,
    )
    trainer = FeatureBasedTrainer(model, data["train"], data["validation"], learning_rate=3e-3)
    trainer.train(num_epochs=chosen.epochs)

    found = trainer.evaluate(data["test"])["accuracy"]
    print(f"test accuracy: {found.value:.3f} ({found.low:.3f} to {found.high:.3f})")
    predicted = trainer.predict(data["test"])
    wrong = [(true, taken) for true, taken in zip(data["test"].labels, predicted, strict=True) if true != taken]
    for true, taken in sorted(set(wrong), key=wrong.count, reverse=True)[:3]:
        print(f"{true} taken for {taken}: {wrong.count((true, taken))} times")


if __name__ == "__main__":
    main()
