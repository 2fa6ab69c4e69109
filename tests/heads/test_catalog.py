import numpy as np
import pytest
from sklearn.svm import LinearSVC

from heads import (
    HEADS,
    REGRESSORS,
    GreedyHead,
    KNNHead,
    KNNRegressor,
    LinearHead,
    MLPHead,
    MLPRegressor,
    RidgeRegressor,
    head_class,
    make_head,
)


def test_kinds_and_import_paths_lead_to_classes():
    assert head_class("linear") is LinearHead
    assert head_class("sklearn.svm.LinearSVC") is LinearSVC
    assert make_head("linear", C=3.0).C == 3.0


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("liner", {}, "did you mean `linear`"),
        ("sklearn.svm.Nothing", {}, "cannot be imported"),
        ("os.system", {}, "not a scikit-learn classifier"),
        ("sklearn.linear_model.LinearRegression", {}, "not a scikit-learn classifier"),
        ("linear", {"c": 1}, "`c` is not a parameter of linear; parameters are C, "),
        ("mlp", {"hiden": 1}, "did you mean `hidden`"),
        ("linear", {"C": -1}, r"`C` of linear must be a float in the range \(0.0, inf\]. Got -1 instead"),
        ("mlp", {"label_smoothing": 1.5}, "`label_smoothing` of mlp must be a float in the range"),
        ("mlp", {"dropout": 1}, "`dropout` of mlp must be"),
        ("mlp", {"optimizer": "adam"}, "`optimizer` of mlp must be a str among"),
        ("mlp", {"hidden": [64, -5]}, r"`hidden` of mlp must be .* each element of it an int in the range \[1, inf\)"),
        ("layer_mix", {"hidden": [1.5]}, "`hidden` of layer_mix must be a list"),
        ("knn", {"k": 0}, "`k` of knn must be an int in the range"),
        ("sklearn.svm.LinearSVC", {"C": 0.0}, "`C` of sklearn.svm.LinearSVC must be a float"),
    ],
)
def test_what_does_not_exist_or_cannot_be_is_told(kind, params, message):
    with pytest.raises(ValueError, match=message):
        make_head(kind, **params)


@pytest.mark.parametrize(
    "head",
    [
        MLPHead(hidden=[0]),
        MLPRegressor(lr=0),
        LinearHead(whiten=0.0),
        KNNHead(k=0),
        KNNRegressor(k=0),
        RidgeRegressor(alphas=-1),
        GreedyHead(C=-1),
    ],
)
def test_a_head_made_in_python_says_so_as_it_is_fitted(head):
    with pytest.raises(ValueError, match=f"The '[a-zC]+' parameter of {type(head).__name__} must be"):
        head.fit(np.ones((4, 2)), [0, 1, 0, 1])


FREE = {"callbacks", "checkpoint", "device", "embeddings", "metric", "module"}


@pytest.mark.parametrize(
    ("task", "kind"), [*(("classification", kind) for kind in HEADS), *(("regression", kind) for kind in REGRESSORS)]
)
def test_every_head_says_what_its_parameters_may_be_and_its_defaults_are_among_them(task, kind):
    head = make_head(kind, task)
    assert make_head(kind, task, **head.get_params()).get_params().keys() == head.get_params().keys()
    declared = {name for part in type(head).__mro__ for name in vars(part).get("_parameter_constraints", {})}
    assert set(head.get_params()) - declared <= FREE
