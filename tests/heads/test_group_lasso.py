import numpy as np
import pytest
import torch
from sklearn.datasets import make_multilabel_classification

from heads import GroupLassoHead, GroupLassoRegressor, LinearHead, RidgeRegressor
from heads.group_lasso import relevance
from heads.selecting import Aim


@pytest.fixture(scope="module")
def needles():
    """Three outputs of 20 features, of which one feature tells a class each: columns 23 and 45."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=500)
    X = rng.normal(size=(500, 60))
    X[:, 23] += 3 * (y == 1)
    X[:, 45] += 3 * (y == 2)
    return (X * np.geomspace(0.01, 100, 60)).astype(np.float32), np.array(["a", "b", "c"])[y]


def test_the_features_that_tell_classes_apart_are_kept(needles):
    X, y = needles
    head = GroupLassoHead(keep=2 / 60).fit(X, y)
    assert head.selected_.tolist() == [23, 45]
    linear = LinearHead(C=0.1, standardize=True).fit(X[:, [23, 45]], y)
    np.testing.assert_allclose(head.predict_proba(X), linear.predict_proba(X[:, [23, 45]]), atol=1e-4)


def test_outputs_are_kept_whole(needles):
    X, y = needles
    head = GroupLassoHead(keep=0.6, per="output", blocks=[20, 20, 20]).fit(X, y)
    assert head.selected_.tolist() == list(range(20, 60))


def test_all_features_are_the_linear_head(needles):
    X, y = needles
    everything, linear = GroupLassoHead(keep=1.0).fit(X, y), LinearHead(C=0.1, standardize=True).fit(X, y)
    np.testing.assert_array_equal(everything.coef_, linear.coef_)


def test_the_group_lasso_is_at_its_minimum():
    """Where a group has weights its gradient balances the penalty; where it has none the gradient is below it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 12))
    codes = X[:, :3].argmax(axis=1)
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    strength, eye, values = 0.2, np.eye(3), torch.as_tensor((X - X.mean(axis=0)) / X.std(axis=0))
    weights, intercept = torch.zeros(12, 3, dtype=torch.float64, requires_grad=True), torch.zeros(3, requires_grad=True)
    flat = np.abs(scaled.T @ (eye[codes].mean(axis=0) - eye[codes]) / 200)
    penalty = strength * np.linalg.norm(flat, axis=1).max()
    optimizer = torch.optim.LBFGS([weights, intercept], max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def loss():
        optimizer.zero_grad()
        fit = torch.nn.functional.cross_entropy(values @ weights + intercept, torch.as_tensor(codes))
        value = fit + penalty * (weights.square().sum(dim=1) + 1e-10).sqrt().sum()
        value.backward()
        return value

    optimizer.step(loss)
    found = relevance(X, Aim(eye[codes], "classes"), np.ones(200), np.arange(12), strength)
    expected = weights.detach().norm(dim=1).numpy()
    np.testing.assert_allclose(np.where(found >= 1, found - 1, 0), np.where(expected > 1e-3, expected, 0), atol=2e-3)
    assert (found[:3] > 1).all()
    assert (found[3:] < found[:3].min()).all()


def test_weights_of_samples_count(needles):
    X, y = needles
    seen = np.where(y == "c", 0.0, 1.0)
    head = GroupLassoHead(keep=1 / 60, strength=0.3).fit(np.r_[X, X], np.r_[y, y], np.r_[seen, np.full(500, 1e-6)])
    assert head.selected_.tolist() == [23]


def test_a_sample_may_have_several_labels():
    X, y = make_multilabel_classification(300, n_features=30, n_classes=4, random_state=0)
    head = GroupLassoHead(keep=0.5).fit(X, y)
    assert head.multilabel_
    assert len(head.selected_) == 15
    assert head.predict(X).shape == (300, 4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"keep": 0}, "The 'keep' parameter of GroupLasso[a-zA-Z]+ must be"),
        ({"strength": 1}, "The 'strength' parameter of GroupLassoHead must be"),
        ({"per": "layer"}, "The 'per' parameter of GroupLassoHead must be"),
        ({"per": "output", "blocks": [20, 20]}, "40 columns together, where X has 60"),
    ],
)
def test_parameters_that_say_nothing_are_refused(needles, params, message):
    with pytest.raises(ValueError, match=message):
        GroupLassoHead(**params).fit(*needles)


def test_for_values_the_features_that_tell_them_are_kept_whatever_units_a_value_has(needles):
    X, _ = needles
    scaled = X / X.std(axis=0)
    values = np.column_stack([scaled[:, 23], 1e4 * scaled[:, 45]]) + 7
    head = GroupLassoRegressor(keep=2 / 60).fit(X, values)
    assert head.selected_.tolist() == [23, 45]
    np.testing.assert_allclose(head.predict(X), values, atol=1e-2 * values.std(axis=0).max())
    everything = GroupLassoRegressor(keep=1.0, standardize=False).fit(X, values[:, 0])
    np.testing.assert_allclose(everything.predict(X), RidgeRegressor().fit(X, values[:, 0]).predict(X), atol=1e-4)
    with pytest.raises(ValueError, match="The 'keep' parameter of GroupLasso[a-zA-Z]+ must be"):
        GroupLassoRegressor(keep=0).fit(X, values)
