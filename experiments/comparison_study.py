"""Frozen features, a partly unfrozen backbone, or full fine-tuning: what each reaches on the same data, and what it costs.

The three models learn from the same samples and answer for the same test samples. The first one's training time includes the
extraction of features, which the second one finds in the store. Writes `comparison.png`.

`python experiments/comparison_study.py` takes one to two minutes on two processors. `--samples 5000 --epochs 3` and a GPU make
it a fair fight for fine-tuning, which needs more of both.
"""

import argparse
from pathlib import Path

from pipelines import DatasetLoader, FeatureBasedModel, FeatureBasedTrainer, ModelComparator

SENTENCES = Path(__file__).parents[1] / "examples" / "data" / "sentences.csv"


def main() -> None:
    """Run the study."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--backbone", default="all-MiniLM-L6-v2")
    options.add_argument("--data", default=SENTENCES)
    options.add_argument("--label", default="domain")
    options.add_argument("--samples", type=int, default=240, help="most samples of each split")
    options.add_argument("--epochs", type=int, default=2, help="of the trainings with the model in the loop")
    options.add_argument("--out", type=Path, default=Path("runs/comparison_study"))
    chosen = options.parse_args()

    data = DatasetLoader.load_dataset(chosen.data, label=chosen.label, limit=chosen.samples)
    classes = len(set(data["train"].labels))

    def make(**settings: bool) -> tuple[FeatureBasedModel, FeatureBasedTrainer]:
        model = FeatureBasedModel.from_pretrained(chosen.backbone, num_classes=classes, max_length=64, **settings)
        return model, FeatureBasedTrainer(model, data["train"], data["validation"])

    frozen, trainer = make()
    trainer.train(num_epochs=20)
    partly, trainer = make()
    trainer.train(num_epochs=20)
    trainer.unfreeze_layers([-1, -2])
    trainer.train(num_epochs=chosen.epochs, learning_rate=1e-4)
    full, trainer = make(freeze_backbone=False)
    trainer.train(num_epochs=chosen.epochs, learning_rate=1e-4)

    comparator = ModelComparator()
    results = comparator.compare_models(
        {"frozen": frozen, "two blocks unfrozen": partly, "all unfrozen": full},
        data["test"],
        metrics=["accuracy", "f1", "training_time", "memory_usage", "trainable_parameters"],
    )
    print(results)
    for (first, second), test in results.paired.items():
        print(f"{first} against {second}: right alone {test.only_first} and {test.only_second} times, p = {test.p_exact:.3f}")
    comparator.plot_comparison(results, save_path=chosen.out / "comparison.png")
    print(f"the picture is in {chosen.out}")


if __name__ == "__main__":
    main()
