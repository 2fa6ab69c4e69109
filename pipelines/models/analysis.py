"""`FeatureAnalyzer`: a model's features of data, and pictures of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from heads import confusion_matrix
from heads.inputs import Tokens
from pipelines.errors import UsageError
from pipelines.feature_figures import distribution_figure, named, project, save_figure, scatter_figure, thin
from pipelines.models.labelled import read_labelled
from pipelines.models.model import FeatureBasedModel
from pipelines.models.model_features import features_of
from pipelines.report.figures import confusion_figure

TITLES = {"tsne": "t-SNE", "pca": "PCA", "umap": "UMAP"}

SavePath = str | Path | None


class FeatureAnalyzer:
    """Extracts a model's features and draws them. Every picture is a matplotlib figure, and is saved where `save_path` says.

    Parameters
    ----------
    model
        Whose features; through its store where they are those of its checkpoint.
    """

    def __init__(self, model: FeatureBasedModel) -> None:
        self.model = model

    def extract_features(self, data: Any) -> np.ndarray:
        """Return the features `[n, d]` of samples; of tokens their mean.

        Parameters
        ----------
        data
            Samples, with labels or without; see `read_labelled`.

        Raises
        ------
        UsageError
            If a sample cannot be used, with its place: every row must have its features here.
        """
        given = read_labelled(data)
        found = features_of(self.model, given)
        if found.skipped:
            row, reason = next(iter(sorted(found.skipped.items())))
            raise UsageError(f"{given.places[row]}: {reason} ({len(found.skipped)} such); leave it out of the data")
        return vectors(found.values)

    def plot_feature_distribution(
        self, features: np.ndarray, labels: Sequence[Any] | None = None, save_path: SavePath = None
    ) -> Figure:
        """Draw the features `[n, d]` that differ most between classes, class by class."""
        return save_figure(distribution_figure(np.asarray(features), checked(features, labels)), save_path)

    def plot_tsne(self, features: np.ndarray, labels: Sequence[Any] | None = None, save_path: SavePath = None) -> Figure:
        """Draw features `[n, d]` in the plane by t-SNE."""
        return save_figure(space_figure(np.asarray(features), checked(features, labels), "tsne"), save_path)

    def plot_pca(self, features: np.ndarray, labels: Sequence[Any] | None = None, save_path: SavePath = None) -> Figure:
        """Draw features `[n, d]` along their two principal axes."""
        return save_figure(space_figure(np.asarray(features), checked(features, labels), "pca"), save_path)

    def plot_umap(self, features: np.ndarray, labels: Sequence[Any] | None = None, save_path: SavePath = None) -> Figure:
        """Draw features `[n, d]` in the plane by UMAP (package umap-learn)."""
        return save_figure(space_figure(np.asarray(features), checked(features, labels), "umap"), save_path)

    def plot_confusion_matrix(
        self, predictions: Sequence[Any], true_labels: Sequence[Any], save_path: SavePath = None
    ) -> Figure:
        """Draw which classes were taken for which: `n` predictions and true labels."""
        true_labels = checked(predictions, true_labels) or []
        names = sorted(set(map(named, (*predictions, *true_labels))))
        places = {name: code for code, name in enumerate(names)}
        true, predicted = (np.array([places[named(name)] for name in part]) for part in (true_labels, predictions))
        return save_figure(confusion_figure(confusion_matrix(true, predicted, len(names)), names), save_path)


def space_figure(features: np.ndarray, values: Sequence[Any] | None, method: str, legend: str = "label") -> Figure:
    """Draw features `[n, d]` in the plane, coloured by values `[n]`; where there are very many, some of them."""
    rows = thin(len(features))
    title = TITLES.get(method, method)
    if len(rows) < len(features):
        title += f" of {len(rows):,} out of {len(features):,} samples"
    kept = None if values is None else [values[row] for row in rows.tolist()]
    return scatter_figure(project(features[rows], method), kept, title, legend)


def vectors(values: Any) -> np.ndarray:
    """Return features `[n, d]`; of tokens their mean over every sample."""
    if not isinstance(values, Tokens):
        return np.asarray(values)
    return np.add.reduceat(values.values, values.offsets[:-1], axis=0) / values.lengths[:, None]


def checked(rows: Any, labels: Sequence[Any] | None) -> Sequence[Any] | None:
    """Return labels in their order, whatever index they have; raises `UsageError` if there are more or fewer than rows."""
    if labels is not None and len(labels) != len(rows):
        raise UsageError(f"there are {len(rows)} rows and {len(labels)} labels")
    return None if labels is None else list(labels)
