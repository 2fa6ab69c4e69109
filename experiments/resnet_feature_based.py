"""Find out what the stages of a network for images know, and whether a nonlinear head finds more in them.

One pass keeps the mean over positions of every stage, and the network's own feature; linear heads, MLPs and nearest
neighbours are tried on each by cross-validation; the best one is tested once. Writes `stages.png`.

`python experiments/resnet_feature_based.py` takes about a minute with EfficientNet-Lite0 on the digits of scikit-learn;
`--backbone resnet50`, `--data folder/of/pictures` and `--size 224` take other networks and pictures.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from extract import BackboneSpec, extract
from heads import KNNHead, LinearHead, MLPHead, SweepCV
from pipelines import DatasetLoader
from pipelines.feature_figures import save_figure

HEADS = {
    "linear": (LinearHead(standardize=True), {"C": np.geomspace(1e-3, 10, 5).tolist()}),
    "mlp": (MLPHead(max_epochs=40), {"hidden": [(128,), (256,)], "lr": [3e-3]}),
    "neighbours": (KNNHead(), {"k": [1, 5, 15]}),
}


def digits() -> dict[str, list]:
    """Return columns of pictures `[8, 8]` uint8 and their labels."""
    found = load_digits()
    return {"image": [np.uint8(picture / 16 * 255) for picture in found.images], "label": [str(code) for code in found.target]}


def stages_figure(scores: dict[str, dict[str, float]]) -> Figure:
    """Draw validation accuracy by stage, a line for every head."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for head, found in scores.items():
        axes.plot(list(found), list(found.values()), marker="o", ms=4, label=head)
    axes.set(ylabel="cross-validated accuracy")
    axes.tick_params(axis="x", rotation=20)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def main() -> None:
    """Run the experiment."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--backbone", default="efficientnet-lite0")
    options.add_argument("--data", default=None, help="a folder of pictures by class; the digits by default")
    options.add_argument("--samples", type=int, default=600, help="most samples of each split")
    options.add_argument("--size", type=int, default=96, help="height and width that pictures are brought to")
    options.add_argument("--out", type=Path, default=Path("runs/resnet_feature_based"))
    chosen = options.parse_args()

    data = DatasetLoader.load_dataset(
        chosen.data or digits(), task="image_classification", limit=chosen.samples, validation_size=0
    )
    spec = BackboneSpec(chosen.backbone, image_size=chosen.size)
    train, test = (
        extract(data[part], spec, outputs=[{"layer": "all", "pooling": "mean"}, "pooled"]) for part in ("train", "test")
    )
    y, y_test = (np.array(data[part].labels)[found.rows] for part, found in (("train", train), ("test", test)))
    scores: dict[str, dict[str, float]] = {head: {} for head in HEADS}
    sweeps = {}
    for name in train.outputs:
        for head, (estimator, grid) in HEADS.items():
            sweep = sweeps[head, name] = SweepCV(estimator, grid, cv=3).fit(train.array(name), y)
            scores[head][name] = sweep.best_score_
        print(f"{name}: " + ", ".join(f"{head} {scores[head][name]:.3f}" for head in HEADS))
    head, name = max(sweeps, key=lambda pair: sweeps[pair].best_score_)
    print(f"{head} on {name}, on the test split: {sweeps[head, name].score(test.array(name), y_test):.3f}")
    save_figure(stages_figure(scores), chosen.out / "stages.png")
    print(f"the picture is in {chosen.out}")


if __name__ == "__main__":
    main()
