"""Every kind of head as it comes, on real features: `python -m benchmarks.kinds [--store DIR]`.

R8 and TREC through all-MiniLM-L6-v2 (extracted first, where the store lacks them), each head at its defaults and the
linear head at C = 10; nothing is chosen, so the test split is touched once by each.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks import tables
from extract import Columns, extract, load_samples
from heads import KNNHead, LDAHead, LinearHead, MLPHead, NearestMeanHead, RidgeHead, classification_metrics

DATA = Path(__file__).parents[2] / "shared" / "data"
HEADS = {
    "nearest mean": NearestMeanHead("cosine"),
    "k-NN": KNNHead(),
    "linear, C = 10": LinearHead(C=10.0),
    "ridge": RidgeHead(),
    "LDA": LDAHead(),
    "MLP": MLPHead(),
}


def main() -> None:
    """Fit, test and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="features")
    options = parser.parse_args()
    rows: dict[str, list[str]] = {name: [name] for name in HEADS}
    for data in ("r8", "trec"):
        X, y, train = _features(data, options.store)
        for name, head in HEADS.items():
            predicted = head.fit(X[train], y[train]).predict(X[~train])
            classes, codes = np.unique(np.concatenate([y[~train], predicted]), return_inverse=True)
            accuracy = classification_metrics(*np.split(codes, 2), None, len(classes))["accuracy"]
            rows[name].append(f"{accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f})")
    print(tables.markdown(["head", "R8 accuracy", "TREC accuracy"], list(rows.values())))


def _features(data: str, store: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    samples = load_samples(DATA / f"{data}.csv", Columns("text", "label", "split"))
    features = extract(samples, "all-MiniLM-L6-v2", store)
    labels, splits = (np.array(column)[features.rows] for column in (samples.labels, samples.splits))
    return features.array(), labels, splits == "train"


if __name__ == "__main__":
    main()
