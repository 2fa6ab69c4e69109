"""Run every Python block of the document that Headstart began with, in order, as a reader would paste them.

`python -m tests.seed_blocks DOCUMENT` runs in the working directory, and prints a JSON line for each block. Imports of
`src.*` come from `pipelines`; what a block takes for granted is supplied before it, by the heading that it stands under.
"""

import json
import re
import sys
from pathlib import Path

from tests.conftest import WORDS
from tests.images import write_image_folder


def read_blocks(document: Path) -> list[tuple[str, str]]:
    """Return (heading, code) of every Python block."""
    blocks, heading, code = [], "", None
    for line in document.read_text(encoding="utf-8").splitlines():
        if code is None and line.startswith("#"):
            heading = re.sub(r"^#+ (\d+\. )?", "", line)
        if line == "```python":
            code = []
        elif line == "```" and code is not None:
            blocks.append((heading, "\n".join(code)))
            code = None
        elif code is not None:
            code.append(line)
    return blocks


def write_texts(count: int, classes: list[str]) -> list[tuple[str, str]]:
    """Make texts whose class is told by a word, with their labels."""
    return [
        (f"the {WORDS[4 + number % len(classes)]} film {number}", classes[number % len(classes)]) for number in range(count)
    ]


def supply_texts(names):
    names["train_data"], names["eval_data"] = write_texts(24, ["a", "b", "c"]), write_texts(9, ["a", "b", "c"])


def supply_pictures(names):
    from pipelines import DatasetLoader

    classes = [f"class-{number}" for number in range(10)]
    parts = DatasetLoader.load_dataset(write_image_folder(Path("pictures"), 40, classes), "image_classification")
    names["train_data"], names["eval_data"] = parts["train"], parts["validation"]


def supply_sentiments(names):
    names["sentiment_data"] = write_texts(24, ["good", "bad"])


def supply_torch(names):
    import torch
    from torch import nn

    names |= {"torch": torch, "nn": nn}
    names["own_model"] = names["FeatureBasedModel"]


def supply_encoder(names):
    names["FeatureBasedModel"] = names.pop("own_model", names["FeatureBasedModel"])
    names["model"] = names["FeatureBasedModel"].from_pretrained("bert-base-uncased", num_classes=3)
    supply_texts(names)


def supply_analysis(names):
    names["test_data"] = names["eval_data"]
    names["labels"] = names["true_labels"] = [label for _, label in names["test_data"]]
    names["predictions"] = names["trainer"].predict([text for text, _ in names["test_data"]])


def supply_comparison(names):
    names["feature_based_model"] = names["model"]
    full = names["FeatureBasedModel"].from_pretrained("distilbert-base-uncased", num_classes=3, freeze_backbone=False)
    names["FeatureBasedTrainer"](full, names["train_data"]).train(num_epochs=1)
    names["full_finetuned_model"], names["test_dataset"] = full, names["eval_data"]


def supply_history(names):
    history = names["trainer"].history
    names["train_losses"], names["train_accuracies"] = history.train_loss, history.train_accuracy
    names["val_losses"], names["val_accuracies"] = history.validation_loss, history.validation_accuracy


SUPPLIES = {
    "Text Classification": supply_texts,
    "Image Classification": supply_pictures,
    "Sentiment Analysis": supply_sentiments,
    "Feature Extractor + Classifier Architecture": supply_torch,
    "Gradual Unfreezing": supply_encoder,
    "Feature Analysis": supply_analysis,
    "Model Comparison": supply_comparison,
    "Feature Space Visualization": supply_history,
}


def tell(heading, names):
    """Return what a test wants to know after a block."""
    told = {"heading": heading, "names": sorted(name for name in names if not name.startswith("_"))}
    trainer = names.get("trainer")
    if trainer is not None:
        told["phases"], told["epochs"] = trainer.history.phases, len(trainer.history)
        backbone = trainer.model.backbone
        told["backbone"] = backbone.checkpoint.uri
        told["learning"] = [name for name, parameter in backbone.named_parameters() if parameter.requires_grad]
        told["training"] = [name for name, module in backbone.named_modules() if module.training]
    if "results" in names:
        told["results"] = {model.name: model.values for model in names["results"].models}
    if "features" in names:
        told["features"] = list(names["features"].shape)
    return told


def main() -> None:
    """Run the blocks."""
    names: dict = {}
    for heading, code in read_blocks(Path(sys.argv[1])):
        SUPPLIES.get(heading, lambda names: None)(names)
        mapped = re.sub(r"from src\.\w+ import", "from pipelines import", code)
        exec(compile(mapped, f"<{heading}>", "exec"), names)
        print("\n" + json.dumps(tell(heading, names)), flush=True)


if __name__ == "__main__":
    main()
