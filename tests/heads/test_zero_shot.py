import numpy as np
import pytest
from scipy.special import softmax
from sklearn.preprocessing import normalize

from heads import ZeroShotHead


@pytest.fixture
def directions():
    """Features around three directions, and the directions as another tower would see them: a little off."""
    rng = np.random.default_rng(0)
    centres = normalize(rng.normal(size=(3, 16)))
    codes = np.arange(90) % 3
    X = (centres[codes] + 0.2 * rng.normal(size=(90, 16))).astype(np.float32) * 7
    return X, codes, centres + 0.1 * rng.normal(size=centres.shape)


def test_without_any_label_it_is_clip_s_softmax_of_cosines(directions):
    X, codes, embeddings = directions
    head = ZeroShotHead(embeddings, classes=["x", "y", "z"], temperature=0.05).fit(X)
    expected = softmax(normalize(X) @ normalize(embeddings).T / 0.05, axis=1)
    np.testing.assert_allclose(head.predict_proba(X), expected, atol=1e-4)
    assert (head.predict(X) == np.array(["x", "y", "z"])[codes]).mean() > 0.9


def test_classes_in_any_order_are_sorted_with_their_embeddings(directions):
    X, codes, embeddings = directions
    head = ZeroShotHead(embeddings, classes=["z", "x", "y"]).fit(X)
    assert head.classes_.tolist() == ["x", "y", "z"]
    assert (head.predict(X) == np.array(["z", "x", "y"])[codes]).mean() > 0.9


def test_labels_move_the_embeddings_by_the_share_asked_for(directions):
    X, codes, embeddings = directions
    wrong = embeddings[[1, 2, 0]]
    assert ZeroShotHead(wrong).fit(X, codes).score(X, codes) < 0.3
    assert ZeroShotHead(wrong, mix=0.9).fit(X, codes).score(X, codes) > 0.9
    assert ZeroShotHead().fit(X, codes).score(X, codes) > 0.9


def test_weights_count_in_the_mean_directions(directions):
    X, codes, embeddings = directions
    weight = np.random.default_rng(0).integers(3, size=len(codes))
    weighted = ZeroShotHead(embeddings, mix=0.5).fit(X, codes, weight)
    repeated = ZeroShotHead(embeddings, mix=0.5).fit(X.repeat(weight, axis=0), codes.repeat(weight))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-4)
    with pytest.raises(ValueError, match="class 1 has no weight"):
        ZeroShotHead().fit(X, codes, (codes != 1).astype(float))


@pytest.mark.parametrize(
    ("params", "y", "message"),
    [
        ({"embeddings": np.ones((3, 5))}, [0, 1, 2] * 30, "5 wide and the features 16"),
        ({"embeddings": np.ones((2, 16))}, [0, 1, 2] * 30, "2 embeddings for 3 classes"),
        ({"embeddings": np.ones((3, 16)), "classes": ["a", "b", "c"]}, ["a", "b", "d"] * 30, "'d' is a label that has no"),
        ({"embeddings": np.ones((3, 16)), "mix": 0.5}, None, "`mix` needs labels"),
    ],
)
def test_what_does_not_fit_together_is_told_in_one_line(directions, params, y, message):
    with pytest.raises(ValueError, match=message):
        ZeroShotHead(**params).fit(directions[0], y)
