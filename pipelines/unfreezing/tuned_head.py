"""What a tuned model's classifier is as a head of `heads`, which a run can hold."""

import numpy as np

from heads import LinearClassifier, LinearHead, RidgeRegressor
from pipelines.models.model import FeatureBasedModel
from pipelines.models.objectives import Labels, Numbers


def tuned_head(model: FeatureBasedModel) -> LinearHead | RidgeRegressor:
    """Return a model's scaling and linear classifier as one head that says the same of the features `[n, d]` as they come."""
    weight, bias = _of_plain_features(model)
    objective = model.objective
    if isinstance(objective, Numbers):
        return _regressor(weight, bias, objective)
    head, names = LinearHead(), np.asarray(model.classes)
    if isinstance(objective, Labels):  # a run has the labels' names, and its heads their numbers
        names, head.multilabel_ = np.arange(len(names)), True
    else:
        order = np.argsort(names)
        names, weight, bias = names[order], weight[order], bias[order]
        if len(names) == 2:
            weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    head.classes_, head.n_features_in_, head.n_iter_ = names, weight.shape[1], 0
    head.coef_, head.intercept_ = weight.astype(np.float32), bias.astype(np.float32)
    return head


def _of_plain_features(model: FeatureBasedModel) -> tuple[np.ndarray, np.ndarray]:
    """Return weights `[c, d]` and intercepts `[c]` for features that are not standardised."""
    assert isinstance(model.classifier, LinearClassifier)
    weight = model.classifier.linear.weight.detach().cpu().double().numpy()
    bias = model.classifier.linear.bias.detach().cpu().double().numpy()
    if model.feature_mean is not None and model.feature_scale is not None:
        weight = weight / model.feature_scale.cpu().double().numpy()
        bias = bias - weight @ model.feature_mean.cpu().double().numpy()
    return weight, bias


def _regressor(weight: np.ndarray, bias: np.ndarray, numbers: Numbers) -> RidgeRegressor:
    scale, mean = numbers.scale.astype(float), numbers.mean.astype(float)
    head = RidgeRegressor()
    head.alpha_, head.single_, head.n_features_in_ = 0.0, len(scale) == 1, weight.shape[1]
    head.coef_, head.intercept_ = (weight * scale[:, None]).astype(np.float32), bias * scale + mean
    return head
