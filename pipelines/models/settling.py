"""What a model finds out from its training data before it learns: what its outputs are of, and the features' scaling."""

from collections.abc import Callable

import numpy as np
import torch

from heads.scaling import fit_scaling
from pipelines.errors import UsageError
from pipelines.models.backbone_module import BackboneModule
from pipelines.models.labelled import Labelled
from pipelines.models.model import FeatureBasedModel
from pipelines.models.model_features import features_of, promising_rows
from pipelines.models.objectives.catalog import OBJECTIVES
from pipelines.models.sample_batches import collate_for

LEAST_SCALE = 0.01
"""A feature's deviation counts as this share of the median one at least: one that hardly moves now may, once unfrozen."""


def settle_targets(
    model: FeatureBasedModel, train_data: Labelled, eval_data: Labelled | None, say: Callable[[str], None]
) -> None:
    """Find out, the first time, what a model's outputs are of, and see that all labels are of that.

    Parameters
    ----------
    model
        Learns what its outputs are of.
    train_data, eval_data
        What it is trained on, and evaluated.
    say
        Told of outputs that stay unused.

    Raises
    ------
    TrainingError
        If the labels do not fit the model, which is as it was then.
    """
    width = None if model.knows_targets else count_outputs(model, train_data)
    known = OBJECTIVES[model.task]
    objective = model.objective if width is None else known.of(train_data.labels or (), width, train_data.places)
    for data in (train_data, eval_data):
        if data is not None:
            usable = data.take(promising_rows(model, data))
            objective.encode(usable.labels or (), usable.places)
    if width is None:
        return
    model.learn(objective)
    names = model.classes or []
    if model.task == "classification" and len(names) < width:
        named = ", ".join(map(str, names))
        say(f"the model has {width} outputs and the data {len(names)} classes ({named}); the rest stay unused")


def settle_scaling(model: FeatureBasedModel, data: Labelled, batch_size: int) -> None:
    """Find out, the first time, the mean and deviation of a model's features of what it is trained on.

    Parameters
    ----------
    model, data
        The model, and what it is trained on.
    batch_size
        Samples at a time where features are computed here.
    """
    if model.needs_scaling:
        features = features_of(model, data, batch_size, keep=True)
        scaling = fit_scaling(features.values, np.ones(len(features.rows)))
        scale = np.maximum(scaling.scale, LEAST_SCALE * np.median(scaling.scale))
        model.set_scaling(torch.as_tensor(scaling.mean), torch.as_tensor(scale), len(features.rows))


def count_outputs(model: FeatureBasedModel, data: Labelled) -> int:
    """Count a model's outputs, by one sample; raises `UsageError` if the classifier gives no row of them."""
    backbone = model.backbone
    model.eval()
    with torch.inference_mode():
        if isinstance(backbone, BackboneModule):
            found = model.classify(backbone.features_of_one())
        else:
            found = model(collate_for(backbone)([data.samples.inputs[0]]))
    if found.ndim != 2:
        raise UsageError(
            f"for one sample the classifier gives a tensor {list(found.shape)}; it must give rows of outputs [b, c]"
        )
    return int(found.shape[1])
