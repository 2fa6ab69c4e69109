import numpy as np
import pytest

from heads import Tokens
from heads.scaling import ROWS_AT_ONCE, fit_scaling, no_scaling, read_rows

RNG = np.random.default_rng(0)


def test_parts_are_merged_to_the_mean_and_deviation_of_all():
    X = RNG.normal(5, 3, size=(2 * ROWS_AT_ONCE + 77, 6))
    weight = RNG.uniform(size=len(X))
    scaling = fit_scaling(X, weight)
    mean = np.average(X, axis=0, weights=weight)
    np.testing.assert_allclose(scaling.mean, mean)
    np.testing.assert_allclose(scaling.scale, np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight)))


def test_views_and_tokens_count_one_by_one_and_a_constant_column_stays():
    X = RNG.normal(size=(40, 3, 5)).astype(np.float32)
    X[:, :, 0] = 7
    scaling = fit_scaling(X, np.ones(40))
    np.testing.assert_allclose(scaling.mean, X.reshape(-1, 5).mean(axis=0), atol=1e-6)
    assert scaling.scale[0] == 1
    tokens = fit_scaling(Tokens(X.reshape(-1, 5), np.arange(0, 121, 3)), np.ones(40))
    np.testing.assert_array_equal(tokens.mean, scaling.mean)


def test_without_scaling_only_the_type_changes():
    X = RNG.normal(size=(4, 3)).astype(np.float16)
    found = no_scaling(X, 3).apply(X)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, X)


def test_a_feature_that_is_no_number_is_told():
    with pytest.raises(ValueError, match="samples 0 to 4096 are not all finite"):
        fit_scaling(np.array([[np.inf]]), np.ones(1))


class Asked:
    """Counts what is read, and how."""

    def __init__(self, X):
        self.X, self.asked = X, []

    def __getitem__(self, rows):
        self.asked.append(rows)
        return self.X[rows]


@pytest.mark.parametrize(
    ("rows", "kind", "read"), [(range(3, 9), slice, 6), (range(0, 9, 2), slice, 9), ([0, 500, 999], np.ndarray, 3)]
)
def test_rows_close_together_are_one_slice_and_rows_far_apart_are_asked_for_one_by_one(rows, kind, read):
    asked = Asked(np.arange(1000))
    rows = np.array(rows)
    assert np.array_equal(read_rows(asked, rows), rows)
    (only,) = asked.asked
    assert isinstance(only, kind)
    assert len(asked.X[only]) == read


def test_a_feature_that_differs_by_rounding_alone_is_not_blown_up():
    rng = np.random.default_rng(0)
    constant = np.nextafter(np.float32(0.3), np.where(rng.random((200, 1)) < 0.1, 1, 0).astype(np.float32))
    X = np.concatenate([constant, rng.normal(size=(200, 1)).astype(np.float32)], axis=1)
    scaling = fit_scaling(X, np.ones(200))
    assert scaling.scale[0] == 1
    assert np.abs(scaling.apply(X)[:, 0]).max() < 1e-6
