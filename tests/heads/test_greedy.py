import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification

from heads import GreedyHead, GreedyRegressor, LinearHead, RidgeRegressor

BLOCKS = [10, 30, 20, 10]


@pytest.fixture(scope="module")
def outputs():
    """Four outputs; the second tells one class from the others, the fourth another, and the others nothing."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=600)
    X = rng.normal(size=(600, 70))
    X[:, 10:40] += 0.9 * rng.choice([-1, 1], 30) * (y == 1)[:, None]
    X[:, 60:70] += 1.2 * (y == 2)[:, None]
    return X.astype(np.float32), y


def test_outputs_are_added_while_they_help(outputs):
    X, y = outputs
    head = GreedyHead(blocks=BLOCKS).fit(X, y)
    assert head.selected_.tolist() == [*range(10, 40), *range(60, 70)]
    alone = LinearHead(C=0.1, standardize=True).fit(X[:, head.selected_], y)
    np.testing.assert_array_equal(head.coef_[:, head.selected_], alone.coef_)


def test_no_more_outputs_than_asked_for(outputs):
    assert GreedyHead(most=1, blocks=BLOCKS).fit(*outputs).selected_.tolist() == list(range(60, 70))


def test_the_choice_is_made_in_the_samples_that_are_fitted_on(outputs):
    X, y = outputs
    shuffled = np.random.default_rng(1).permutation(y[:300])
    chosen = GreedyHead(blocks=BLOCKS).fit(X[:300], y[:300]).selected_
    assert chosen.tolist() == GreedyHead(blocks=BLOCKS).fit(X[:300].copy(), y[:300].copy()).selected_.tolist()
    assert GreedyHead(blocks=BLOCKS).fit(X[:300], shuffled).score(X[300:], y[300:]) < 0.5


def test_wide_outputs_are_searched_by_their_leading_axes(outputs):
    X, y = outputs
    wide = np.concatenate([np.repeat(X[:, :10], 30, axis=1), X[:, 10:]], axis=1)
    head = GreedyHead(blocks=[300, 30, 20, 10]).fit(wide, y)
    assert head.selected_.tolist() == [*range(300, 330), *range(350, 360)]


def test_a_sample_may_have_several_labels():
    X, y = make_multilabel_classification(300, n_features=30, n_classes=4, random_state=0)
    noise = np.random.default_rng(0).normal(size=X.shape)
    head = GreedyHead(blocks=[30, 30]).fit(np.concatenate([noise, X], axis=1), y)
    assert set(range(30, 60)) <= set(head.selected_.tolist())


def test_without_outputs_there_is_nothing_to_choose(outputs):
    X, y = outputs
    np.testing.assert_array_equal(GreedyHead().fit(X, y).coef_, LinearHead(C=0.1, standardize=True).fit(X, y).coef_)


@pytest.mark.parametrize(
    ("params", "message"), [({"most": 0}, "The 'most' parameter of GreedyHead must be"), ({"blocks": [70, 0]}, "`blocks` are")]
)
def test_parameters_that_say_nothing_are_refused(outputs, params, message):
    with pytest.raises(ValueError, match=message):
        GreedyHead(**params).fit(*outputs)


def test_an_output_that_is_constant_is_none_to_choose(outputs):
    X, y = outputs
    constant = np.concatenate([np.ones((600, 5), np.float32), X], axis=1)
    chosen = GreedyHead(blocks=[5, *BLOCKS]).fit(constant, y).selected_
    assert chosen.tolist() == [*range(15, 45), *range(65, 75)]


def test_for_values_the_outputs_that_tell_them_are_chosen_and_no_others(outputs):
    X, _ = outputs
    values = np.column_stack([X[:, 10:40] @ np.linspace(-1, 1, 30), 1000 * X[:, 60:70].sum(axis=1)])
    noise = values.std(axis=0) * np.random.default_rng(0).normal(size=values.shape) * 0.3
    head = GreedyRegressor(blocks=BLOCKS).fit(X[:400], (values + noise)[:400])
    assert head.selected_.tolist() == [*range(10, 40), *range(60, 70)]
    assert head.score(X[400:], values[400:]) > max(
        0.97, RidgeRegressor().fit(X[:400], (values + noise)[:400]).score(X[400:], values[400:])
    )
    single = GreedyRegressor(blocks=BLOCKS).fit(X, values[:, 1])
    assert single.selected_.tolist() == list(range(60, 70))
    assert single.predict(X).shape == (600,)
