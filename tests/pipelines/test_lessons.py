import numpy as np
import pytest

from cache import Ragged
from heads import AttentionHead, GreedyHead, LinearHead, MLPHead, RidgeHead
from pipelines.columns import Columns, ViewColumns
from pipelines.lessons import bound_together, count_sweep_rows, lesson, sweep_groups, sweep_lesson

VALUES = np.arange(24, dtype=np.float32).reshape(12, 2)  # 4 samples of 3 views
PLACE = np.array([0, -1, 1, 2, -1, 3])  # of 6 samples
PLAIN = np.where(PLACE[:, None] < 0, -1, VALUES[PLACE * 3]).astype(np.float32)
ROWS, LABELS = np.array([0, 2, 3, 5]), np.array(list("abab"))


def columns(use, values=VALUES, plain=PLAIN):
    return Columns(plain, (2,), ViewColumns(values, 3, PLACE, use))


def test_without_views_a_lesson_is_the_features():
    X, y = lesson(Columns(PLAIN, (2,)), ROWS, LABELS, LinearHead())
    assert np.array_equal(X, PLAIN[ROWS])
    assert y is LABELS


def test_a_head_fitted_at_once_gets_every_view_as_a_row_with_its_samples_label():
    X, y = lesson(columns("sample"), np.array([3, 0]), LABELS[:2], LinearHead())
    assert np.array_equal(X, np.concatenate([VALUES[6:9], VALUES[:3]]))
    assert y.tolist() == list("aaabbb")


def test_a_head_trained_in_steps_gets_the_views_of_a_sample_to_draw_from():
    X, y = lesson(columns("sample"), np.array([3, 0]), LABELS[:2], MLPHead())
    assert np.array_equal(X, np.stack([VALUES[6:9], VALUES[:3]]))
    assert y.tolist() == ["a", "b"]


@pytest.mark.parametrize("head", [LinearHead(), MLPHead()])
def test_averaged_views_are_one_row_a_sample(head):
    X, y = lesson(columns("average"), ROWS, LABELS, head)
    np.testing.assert_allclose(X, VALUES.reshape(4, 3, 2).mean(1))
    assert y is LABELS


@pytest.mark.parametrize(
    ("use", "head", "each"),
    [("sample", LinearHead(), 3), ("sample", MLPHead(), 1), ("average", LinearHead(), 1), ("sample", RidgeHead(), 1)],
)
def test_a_sweep_trains_on_views_and_is_validated_on_the_plain_samples(use, head, each):
    folds = [(np.array([0, 3]), np.array([1, 2])), (np.array([1, 2]), np.array([0, 3]))]
    X, y, splits = sweep_lesson(columns(use), ROWS, LABELS, folds, head)
    assert len(y) == count_sweep_rows(4, 3, use, head)
    for (train, test), (taught, tested) in zip(folds, splits, strict=True):
        expected, labels = lesson(columns(use), ROWS[train], LABELS[train], head)
        assert np.array_equal(X[taught], expected)
        assert np.array_equal(y[taught], labels)
        assert len(taught) == each * len(train)
        assert np.array_equal(y[tested], LABELS[test])
        plain = X[tested] if X.ndim == 2 else X[tested].mean(1)
        assert np.array_equal(plain, PLAIN[ROWS][test])


def test_views_of_tokens_are_samples_of_their_own():
    values = Ragged.of([np.full((1 + n % 3, 2), n, np.float32) for n in range(12)])
    plain = Ragged.of([np.full((1, 2), 100 + n, np.float32) for n in range(6)])
    folds = [(np.array([0, 1]), np.array([2, 3]))]
    X, y, [(taught, tested)] = sweep_lesson(columns("sample", values, plain), ROWS, LABELS, folds, AttentionHead())
    assert [tokens[0, 0] for tokens in X[taught]] == [0, 1, 2, 3, 4, 5]
    assert [tokens[0, 0] for tokens in X[tested]] == [103, 105]
    assert y[taught].tolist() == list("aaabbb")


@pytest.mark.parametrize("head", [RidgeHead(), GreedyHead()])
def test_heads_that_hold_samples_out_inside_get_one_row_a_sample(head):
    X, y = lesson(columns("sample"), ROWS, LABELS, head)
    np.testing.assert_allclose(X, VALUES.reshape(4, 3, 2).mean(1))
    assert y is LABELS


@pytest.mark.parametrize(
    ("use", "head", "groups", "expected"),
    [
        ("sample", MLPHead(), list("aabb"), list("aabb")),  # draws a view, so that a sample is a row
        ("average", MLPHead(), list("aabb"), list("aabb")),
        ("sample", AttentionHead(), list("aabb"), list("aaaaaabbbbbb")),
        ("sample", AttentionHead(), None, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]),
        ("sample", MLPHead(), None, None),
        ("sample", AttentionHead(), list("aaaa"), None),
    ],
)
def test_rows_of_a_group_and_views_of_a_sample_stay_together(use, head, groups, expected):
    found = bound_together(columns(use), ROWS, None if groups is None else np.array(groups), head)
    assert (None if found is None else found.tolist()) == expected


@pytest.mark.parametrize("head", [MLPHead(), AttentionHead()])
@pytest.mark.parametrize("use", ["sample", "average"])
def test_every_row_of_a_sweep_has_its_sample_s_group(use, head):
    folds = [(np.array([0, 1, 2]), np.array([3])), (np.array([3]), np.array([0, 1, 2]))]
    X, _, splits = sweep_lesson(columns(use), ROWS, LABELS, folds, head)
    found = sweep_groups(columns(use), ROWS, np.array(list("aabc")), head)
    assert len(found) == len(X)
    assert [set(found[test]) for _, test in splits] == [{"c"}, {"a", "b"}]
    assert [set(found[train]) for train, _ in splits] == [{"a", "b"}, {"c"}]
