"""Find out which layer and pooling of an encoder tell most, and how many labels they need.

One pass over the texts keeps every layer with every pooling; a sweep of linear heads on each says by cross-validation what it
is worth; the best one is tested once, and learns from ever more labels. Writes `layers.png` and `few_shot.png`.

`python experiments/bert_feature_based.py` takes about a minute with all-MiniLM-L6-v2; `--backbone bert-base-uncased` and
`--data file.csv --label column` take other encoders and data.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from extract import extract
from heads import FewShotCurve, LinearHead, SweepCV, few_shot_curve
from pipelines import DatasetLoader
from pipelines.feature_figures import save_figure

SENTENCES = Path(__file__).parents[1] / "examples" / "data" / "sentences.csv"
POOLINGS = ("cls", "mean", "max")


def layers_figure(scores: dict[str, float]) -> Figure:
    """Draw validation accuracy by layer, a line for every pooling."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for pooling in POOLINGS:
        found = {int(name.partition(".")[0][5:]): score for name, score in scores.items() if name.endswith(f".{pooling}")}
        axes.plot(list(found), list(found.values()), marker="o", ms=4, label=pooling)
    axes.set(xlabel="layer (0: embeddings)", ylabel="cross-validated accuracy")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title="pooling", frameon=False)
    return figure


def few_shot_figure(curve: FewShotCurve) -> Figure:
    """Draw test accuracy by labels a class."""
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.errorbar(curve.sizes, curve.mean, curve.deviation, marker="o", ms=4, capsize=3)
    axes.set(xlabel="labels a class", ylabel="test accuracy", xscale="log")
    axes.set_xticks(curve.sizes, [str(number) for number in curve.sizes])
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Run the experiment."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--backbone", default="all-MiniLM-L6-v2")
    options.add_argument("--data", default=SENTENCES)
    options.add_argument("--label", default="domain")
    options.add_argument("--samples", type=int, default=600, help="most samples of each split")
    options.add_argument("--out", type=Path, default=Path("runs/bert_feature_based"))
    chosen = options.parse_args()

    data = DatasetLoader.load_dataset(chosen.data, label=chosen.label, limit=chosen.samples, validation_size=0)
    asked = {"layer": "all", "pooling": list(POOLINGS)}
    train, test = (extract(data[part], chosen.backbone, outputs=asked) for part in ("train", "test"))
    y, y_test = (np.array(data[part].labels)[found.rows] for part, found in (("train", train), ("test", test)))
    telling = [name for name in train.outputs if name != "layer0.cls"]  # which is the same for every text
    grid = {"C": np.geomspace(0.01, 100, 5).tolist()}
    sweeps = {name: SweepCV(LinearHead(standardize=True), grid, cv=3).fit(train.array(name), y) for name in telling}
    scores = {name: sweep.best_score_ for name, sweep in sweeps.items()}
    ranked = sorted(scores, key=scores.get, reverse=True)
    for name in ranked[:5]:
        print(f"{name}: {scores[name]:.3f} in cross-validation")
    best = ranked[0]
    print(f"{best} on the test split: {sweeps[best].score(test.array(best), y_test):.3f}")
    curve = few_shot_curve(train.array(best), y, test.array(best), y_test)
    for size, mean, deviation in zip(curve.sizes, curve.mean, curve.deviation, strict=True):
        print(f"with {size} labels a class: {mean:.3f} ± {deviation:.3f}")
    save_figure(layers_figure(scores), chosen.out / "layers.png")
    save_figure(few_shot_figure(curve), chosen.out / "few_shot.png")
    print(f"pictures are in {chosen.out}")


if __name__ == "__main__":
    main()
