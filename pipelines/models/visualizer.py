"""`FeatureVisualizer`: the feature space of data under a model, and learning curves."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from pipelines.errors import UsageError
from pipelines.feature_figures import learning_curves, save_figure
from pipelines.models.analysis import SavePath, space_figure, vectors
from pipelines.models.labelled import Labelled, read_labelled
from pipelines.models.model import FeatureBasedModel
from pipelines.models.model_features import ModelFeatures, features_of, logits_of
from pipelines.models.objectives import Classes
from pipelines.names import nearest

COLOURS = ("label", "prediction", "error", "confidence", "split", "group")


class FeatureVisualizer:
    """Draws what a model makes of data. Every picture is a matplotlib figure, and is saved where `save_path` says.

    Parameters
    ----------
    model
        Whose features; through its store where they are those of its checkpoint.
    """

    def __init__(self, model: FeatureBasedModel) -> None:
        self.model = model

    def plot_feature_space(
        self, data: Any, method: str = "tsne", color_by: str | Sequence[Any] = "label", save_path: SavePath = None
    ) -> Figure:
        """Draw samples in the plane.

        Parameters
        ----------
        data
            Samples, with labels or without; see `read_labelled`. Those that cannot be used are left out.
        method
            `tsne`, `pca` or `umap`.
        color_by
            `label`, `prediction`, `error` (right or wrong, or how far off), `confidence`, `split` or `group`; or a value for
            every sample.
        save_path
            A file to save the picture to.

        Raises
        ------
        UsageError
            If there is no such method or colour, or the data do not have it.
        """
        given = read_labelled(data)
        if not isinstance(color_by, str):
            values: list[Any] | None = list(color_by)
            if len(color_by) != len(given):
                raise UsageError(f"there are {len(given)} samples and {len(color_by)} values to colour by")
        elif color_by not in COLOURS:
            raise UsageError(f"color_by {color_by!r} is not one; {nearest(color_by, COLOURS)}")
        else:
            values = None
        found = features_of(self.model, given)
        kept = self._values(given, found, color_by) if values is None else [values[row] for row in found.rows.tolist()]
        legend = color_by if isinstance(color_by, str) else "value"
        return save_figure(space_figure(vectors(found.values), kept, method, legend), save_path)

    def plot_learning_curves(
        self,
        train_losses: Sequence[float],
        val_losses: Sequence[float] = (),
        train_accuracies: Sequence[float] = (),
        val_accuracies: Sequence[float] = (),
        save_path: SavePath = None,
        score: str = "accuracy",
    ) -> Figure:
        """Draw losses and accuracies by epoch, such as those of a trainer's `history`; `score` is what else they are."""
        return save_figure(learning_curves(train_losses, val_losses, train_accuracies, val_accuracies, score), save_path)

    def _values(self, given: Labelled, found: ModelFeatures, by: Any) -> list[Any] | None:
        """Return what every usable sample is coloured by; None where labels are asked for and there are none."""
        rows = found.rows.tolist()
        columns = {"label": given.labels, "split": given.samples.splits, "group": given.samples.groups}
        if by in columns:
            column = columns[by]
            if column is None and by != "label":
                raise UsageError(f"color_by {by!r}: the data say nothing of it")
            values = None if column is None else [column[row] for row in rows]
            return self._as_numbers(values, given, rows) if by == "label" and values else values
        if not self.model.knows_targets:
            raise UsageError(f"color_by {by!r}: the model has not been trained, so it predicts nothing yet")
        objective = self.model.objective
        predictions = objective.predictions(logits_of(self.model, found))
        if by == "confidence":
            if not isinstance(objective, Classes):
                raise UsageError(f"color_by 'confidence': is of one class a sample, and this is a model of {objective.kind}")
            return [float(share) for share in predictions.max(axis=1)]
        if by == "prediction":
            return objective.answers(predictions)
        if given.labels is None:
            raise UsageError("color_by 'error': the data have no labels")
        kept = given.take(found.rows)
        return objective.errors(objective.encode(kept.labels or (), kept.places), predictions)

    def _as_numbers(self, labels: list[Any], given: Labelled, rows: list[int]) -> list[Any]:
        """Return the labels of a regression as numbers, which have a scale; all others as they are."""
        if self.model.task != "regression" or not self.model.knows_targets or None in labels:
            return labels
        objective, places = self.model.objective, given.places
        return objective.answers(objective.truth(objective.encode(labels, [places[row] for row in rows])))
