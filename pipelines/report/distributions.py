"""How features are spread: their lengths in training and test, the directions that tell classes apart, how many count."""

from typing import Any

import numpy as np

from pipelines.quality import Subject
from pipelines.report.charts import histogram_chart, line_chart

_MOST = 20_000
_CLASSES = 5


def feature_charts(subject: Subject, seed: int = 0) -> dict[str, Any] | None:
    """Return charts of a run's features, from 20,000 samples at most; None where there are too few."""
    from sklearn.decomposition import PCA
    from sklearn.feature_selection import f_classif

    chosen = np.random.default_rng(seed).permutation(len(subject.rows))[:_MOST]
    X, parts = np.asarray(subject.X[chosen], np.float64), subject.parts[chosen]
    components = min(20, X.shape[0] - 1, X.shape[1])
    if components < 2:
        return None
    lengths = np.linalg.norm(X, axis=1)
    by_part = {name: lengths[held] for name, held in (("training", parts != "test"), ("test", parts == "test")) if held.any()}
    pca = PCA(components, svd_solver="randomized", random_state=seed)
    places = pca.fit_transform(X)
    together = np.cumsum(pca.explained_variance_ratio_)
    differ = lengths.std() > 1e-3 * lengths.mean()  # some backbones give all features the length 1
    charts = [histogram_chart("Length of the features", "length", by_part)] if differ else []
    labels = subject.samples.labels
    told = ["how long they are, in training and test"] if differ else []
    if labels is not None and (subject.task is None or subject.task.kind == "classification"):
        own = np.array([labels[row] or "" for row in subject.rows[chosen].tolist()])
        names, counts = np.unique(own[own != ""], return_counts=True)
        frequent = names[np.argsort(-counts, kind="stable")][:_CLASSES]
        held = np.isin(own, frequent)
        if len(frequent) > 1 and held.sum() > len(frequent) + 1:
            with np.errstate(divide="ignore", invalid="ignore"):
                strength = np.nan_to_num(f_classif(places[held], own[held])[0])
            for number in np.argsort(-strength, kind="stable")[:2].tolist():
                title = f"Principal component {number + 1}, by class"
                charts.append(histogram_chart(title, "value", {str(name): places[own == name, number] for name in frequent}))
            told.append("the two principal components on which classes differ most")
    chart = line_chart("Variance held by the first components", "components", "share", {"together": together.tolist()})
    told.append("how much the first components hold")
    lead = f"The features of {len(chosen):,} samples, of width {X.shape[1]:,}: {', '.join(told)}."
    return {"lead": lead, "charts": [*charts, chart]}
