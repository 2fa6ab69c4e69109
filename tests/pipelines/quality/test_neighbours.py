import numpy as np
import pytest

from pipelines.quality.neighbours import centred_directions, find_neighbours, outlying


@pytest.mark.parametrize("width", [12, 200])
def test_neighbours_are_those_of_all_pairs_and_similarities_exact(width):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6)) @ rng.normal(size=(6, width)) + 100  # a common direction that centring removes
    unit = centred_directions(X).astype(float)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    expected = -np.sort(-similarity, axis=1)[:, :5]
    found = find_neighbours(X, 5)
    assert np.take_along_axis(similarity, found.positions, axis=1) == pytest.approx(found.similarity, abs=1e-4)
    assert (np.abs(found.similarity - expected) < 1e-3).mean() > 0.99
    assert not (found.positions == np.arange(300)[:, None]).any()


@pytest.mark.parametrize("X", [np.ones((5, 3)), np.ones((1, 3))])
def test_features_without_any_difference_do_no_harm(X):
    found = find_neighbours(X)
    assert found.positions.shape == (len(X), min(10, len(X) - 1))
    assert np.isfinite(found.similarity).all()


def test_samples_far_from_all_others_are_outlying_and_ordinary_ones_are_not():
    rng = np.random.default_rng(0)
    clouds = rng.normal(size=(200, 20)) * 0.3 + np.where(np.arange(200) % 2, 3, -3)[:, None]
    strange = rng.normal(size=(4, 20)) * 9
    found, distance, limit = outlying(find_neighbours(np.concatenate([clouds, strange])).similarity)
    assert set(found.tolist()) == {200, 201, 202, 203}
    assert (distance[found] > limit).all()


def test_few_wide_samples_have_neighbours():
    X = np.random.default_rng(0).normal(size=(12, 500)).astype(np.float32)
    assert find_neighbours(X, 3).positions.shape == (12, 3)
