import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from heads import (
    GroupLassoHead,
    KNNHead,
    KNNRegressor,
    LinearHead,
    MLPHead,
    MLPRegressor,
    NearestMeanHead,
    RidgeHead,
    RidgeRegressor,
    encode_targets,
    plain_labels,
)
from heads.targets import class_weights, encode_known, encode_labels

NAMES = ["b", "a", "b", "c"]


@pytest.mark.parametrize(
    "labels",
    [
        NAMES,
        np.array(NAMES),
        np.array(NAMES, dtype=object),
        pd.Series(NAMES),
        pd.Series(NAMES, dtype="string[pyarrow]"),
        pd.Categorical(NAMES),
        pd.Index(NAMES),
        pytest.importorskip("pyarrow").chunked_array([NAMES]),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_texts_of_any_container_become_the_same_classes_and_codes(labels):
    targets = encode_targets(labels)
    assert targets.classes.tolist() == ["a", "b", "c"]
    assert targets.classes.dtype.kind == "U"
    assert targets.values.tolist() == [1, 0, 1, 2]
    assert not targets.multilabel


@pytest.mark.parametrize(
    "labels", [[1, 0, 1], [True, False, True], torch.tensor([1, 0, 1]), pd.Series([1, 0, 1], dtype="Int64")]
)
def test_numbers_and_truth_values_stay_what_they_are(labels):
    targets = encode_targets(labels)
    assert targets.values.tolist() == [1, 0, 1]
    assert targets.classes.dtype.kind == ("b" if labels[0] is True else "i")


@pytest.mark.parametrize(
    "labels",
    [
        [{"x", "y"}, set(), {"z"}],
        [["x", "y"], [], ["z"]],
        pd.Series([("x", "y"), (), ("z",)]),
        pd.DataFrame({"x": [1, 0, 0], "y": [1, 0, 0], "z": [0, 0, 1]}),
    ],
)
def test_sets_of_labels_and_frames_of_columns_become_an_indicator_with_the_labels_names(labels):
    targets = encode_targets(labels)
    assert targets.multilabel
    assert targets.classes.tolist() == ["x", "y", "z"]
    assert targets.values.tolist() == [[True, True, False], [False, False, False], [False, False, True]]


@pytest.mark.parametrize("kind", [np.array, list, sparse.csr_array, torch.tensor])
def test_an_indicator_is_taken_as_it_is(kind):
    targets = encode_targets(kind([[1, 0], [1, 1]]))
    assert targets.classes.tolist() == [0, 1]
    assert targets.values.tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", None, "b"], "sample 1 has no label"),
        (pd.Series(["a", "b", None], dtype="str"), "sample 2 has no label"),
        (pd.Series(["a", None, "b"], dtype="category"), "sample 1 has no label"),
        (pd.Series(["a", None, "b"], dtype="string[pyarrow]"), "sample 1 has no label"),
        (pd.Series([0, 1, None], dtype="Int64"), "sample 2 has no label"),
        (pd.Series([True, None, False], dtype="boolean"), "sample 1 has no label"),
        (pd.Series([0, 1, None], dtype="int64[pyarrow]"), "sample 2 has no label"),
        (np.array([0, np.nan, 1]), "sample 1 has no label"),
        (np.array([[0, 1], [1, np.nan]]), "sample 1 has no label"),
        (["a", "a"], "at least 2 classes"),
        ([0.1, 0.2, 0.3], "Unknown label type"),
        (np.array([[0, 2], [1, 1]]), "no indicator"),
    ],
)
def test_what_is_no_label_is_told_in_one_line(labels, message):
    with pytest.raises(ValueError, match=message):
        encode_targets(labels)


def test_codes_are_for_one_label_a_sample():
    with pytest.raises(ValueError, match=r"labels are \[2, 3\], where one a sample"):
        encode_labels(np.eye(2, 3))


def test_a_label_that_training_did_not_have_is_refused():
    classes = np.array(["a", "c"])
    assert encode_known(["c", "a"], classes, multilabel=False).tolist() == [1, 0]
    assert encode_known([{"c"}, set()], classes, multilabel=True).tolist() == [[False, True], [False, False]]
    for labels, several in ((["b"], False), (["d"], False), ([{"b"}], True)):
        with pytest.raises(ValueError, match="training data do not have"):
            encode_known(labels, classes, several)


def test_balanced_weights_give_every_class_the_same_sum():
    targets = encode_targets(["a"] * 9 + ["b"])
    weight = class_weights("balanced", targets)
    assert weight[:9].sum() == pytest.approx(weight[9:].sum())
    several = encode_targets(np.array([[1, 0]] * 3 + [[0, 1]]))
    assert class_weights("balanced", several).tolist() == pytest.approx([1 / 3, 3])
    assert class_weights({1: 5.0}, several).tolist() == [1.0, 5.0]


@pytest.fixture(scope="module")
def tagged():
    """Features whose columns decide four labels, each on its own."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 8)).astype(np.float32)
    return X, X[:, :4] + 0.3 * rng.normal(size=(400, 4)) > [0, 0, 0.5, 1.0]


@pytest.mark.parametrize(
    "head", [LinearHead(), RidgeHead(), KNNHead(k=20), MLPHead(lr=1e-2, max_epochs=30)], ids=lambda head: type(head).__name__
)
def test_several_labels_a_sample_are_told_apart_one_by_one(tagged, head):
    X, y = tagged
    names = np.array(["one", "two", "three", "four"])
    head.fit(X, [set(names[row]) for row in y])
    order = np.argsort(names)
    found = head.predict(X)
    assert head.classes_.tolist() == sorted(names)
    assert found.shape == y.shape
    assert (found == y[:, order]).mean() > 0.85
    if hasattr(head, "predict_proba"):
        assert ((head.predict_proba(X) > 0.5) == found).all()
    exact = head.score(X, [set(names[row]) for row in y])
    assert exact == pytest.approx((found == y[:, order]).all(axis=1).mean())


def test_several_labels_are_scikit_learn_s_independent_logistic_regressions(tagged):
    from sklearn.linear_model import LogisticRegression
    from sklearn.multioutput import MultiOutputClassifier

    X, y = tagged
    head = LinearHead(class_weight="balanced").fit(X, y.astype(int))
    reference = MultiOutputClassifier(LogisticRegression(class_weight="balanced", tol=1e-8, max_iter=5000)).fit(X, y)
    np.testing.assert_allclose(head.coef_, [one.coef_[0] for one in reference.estimators_], atol=2e-3)


def test_a_label_that_all_have_or_none_has_keeps_its_share(tagged):
    X, y = tagged
    y = np.column_stack([y[:, 0], np.ones(len(y), bool), np.zeros(len(y), bool)])
    chances = LinearHead().fit(X, y.astype(int)).predict_proba(X)
    assert (chances[:, 1] > 0.99).all()
    assert (chances[:, 2] < 0.01).all()


def test_plain_labels_never_hold_objects_where_a_type_would_do():
    assert plain_labels(pd.Series(["a", "b"], dtype="str")).dtype.kind == "U"
    assert plain_labels(pd.Categorical([3, 4])).dtype.kind == "i"


@pytest.mark.parametrize("y", [np.array([0.5, np.nan, 1, 2]), pd.Series([5, None, 1, 2], dtype="Int64")])
@pytest.mark.parametrize("head", [RidgeRegressor(), KNNRegressor(k=1), MLPRegressor()], ids=lambda head: type(head).__name__)
def test_a_number_that_is_missing_is_told_by_its_sample(head, y):
    with pytest.raises(ValueError, match="sample 1 has no label"):
        head.fit(np.eye(4, dtype=np.float32), y)


@pytest.mark.parametrize("head", [LinearHead(), MLPHead(), RidgeHead(), NearestMeanHead(), GroupLassoHead(), KNNHead()])
def test_negative_weights_are_refused(head):
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        head.fit(X, ["a", "b"] * 10, sample_weight=np.r_[-np.ones(5), np.ones(15)])
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        RidgeRegressor().fit(X, X[:, 0], sample_weight=np.r_[-np.ones(5), np.ones(15)])


def test_labels_of_several_types_are_told():
    with pytest.raises(ValueError, match=r"labels are of several types \(int, str\)"):
        encode_targets(np.array([1, "a", 1, "a"], dtype=object))
