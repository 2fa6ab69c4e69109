import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from heads import h_score, knn_accuracy, logme


def separated(samples, width, distance, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, samples)
    return rng.normal(size=(samples, width)) + distance * rng.normal(size=(classes, width))[y], y


@pytest.mark.parametrize("estimate", [logme, h_score, knn_accuracy])
def test_features_that_tell_the_classes_apart_better_are_ranked_higher(estimate):
    scores = [estimate(*separated(400, 32, distance)) for distance in (0, 0.3, 1)]
    assert scores == sorted(scores)
    assert scores[0] < scores[2]


def published_logme(X, y):
    """The evidence as You et al. write it down, by a full singular value decomposition."""
    X = X - X.mean(axis=0)
    samples, width = X.shape
    left, singular, _ = np.linalg.svd(X, full_matrices=True)
    squares = singular**2
    found = []
    for target in np.eye(y.max() + 1)[y].T:
        projected = (left.T @ target)[: len(squares)] ** 2
        outside = (target**2).sum() - projected.sum()
        alpha = beta = 1.0
        for _ in range(300):
            ratio = alpha / beta
            effective = (squares / (squares + ratio)).sum()
            norm = (squares * projected / (ratio + squares) ** 2).sum()
            residual = (projected / (1 + squares / ratio) ** 2).sum() + outside
            alpha, beta = effective / norm, (samples - effective) / residual
        determinant = np.log(alpha + beta * squares).sum() + (width - len(squares)) * np.log(alpha)
        evidence = (width * np.log(alpha) + samples * np.log(beta) - determinant - beta * residual - alpha * norm) / 2
        found.append((evidence - samples / 2 * np.log(2 * np.pi)) / samples)
    return np.mean(found)


@pytest.mark.parametrize(("samples", "width"), [(200, 30), (60, 150)])
def test_logme_is_the_published_one(samples, width):
    X, y = separated(samples, width, 0.5)
    assert logme(X, y) == pytest.approx(published_logme(X, y), abs=1e-4)


@pytest.mark.parametrize(("samples", "width"), [(200, 30), (60, 150)])
def test_the_h_score_is_the_trace_of_its_definition(samples, width):
    X, y = separated(samples, width, 0.5)
    means = np.array([X[y == name].mean(axis=0) for name in range(4)])[y] - X.mean(axis=0)
    expected = np.trace(np.linalg.solve(ledoit_wolf(X)[0], means.T @ means / samples))
    assert h_score(X, y) == pytest.approx(expected, rel=1e-5)


def test_neighbours_leave_the_sample_itself_out():
    X = np.eye(6, dtype=np.float32) + 1
    assert knn_accuracy(X, [0, 1, 2, 3, 4, 5], k=1) == 0
    assert knn_accuracy(np.repeat(X, 2, axis=0), np.repeat(np.arange(6), 2), k=1) == 1


def test_labels_as_they_come_several_labels_and_numbers():
    X, y = separated(300, 16, 1)
    names = np.array(["a", "b", "c", "d"])[y]
    assert logme(X, names.tolist()) == pytest.approx(logme(X, y))
    several = np.eye(4, dtype=int)[y]
    noise = np.random.default_rng(1).permutation(several)
    numbers = X[:, 0] * 2 + 1
    for estimate in (logme, h_score, knn_accuracy):
        assert estimate(X, several) > estimate(X, noise)
    for estimate in (logme, knn_accuracy):
        assert estimate(X, numbers) > estimate(X, np.random.default_rng(1).permutation(numbers))
