import numpy as np
import pytest

from heads import MLPHead
from pipelines.columns import Columns
from pipelines.held_out import fit_on_development
from pipelines.task import Task
from pipelines.trials import Trial


def trial(head, **params):
    return Trial(head, params, "b", "r", ("pooled",), 3, {}, {}, 0.1)


@pytest.fixture
def given():
    """Columns and a task of 120 development samples in 30 groups, and 10 test samples."""
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(130, 3)).astype(np.float32), np.array(["a", "b"])[rng.integers(2, size=130)]
    test = np.arange(130) >= 120
    return Columns(X, (3,)), Task("classification", np.arange(130), labels, (), np.arange(130) % 30, None, test, [])


def test_what_a_head_watches_while_it_is_trained_is_whole_groups(given):
    columns, task = given
    head = fit_on_development(trial("mlp", hidden=[4], max_epochs=2), columns, task)
    X, y, groups = columns.X[:120], task.labels[:120], task.groups[:120]
    by_group, by_sample = (MLPHead(hidden=[4], max_epochs=2).fit(X, y, groups=chosen) for chosen in (groups, None))
    assert head.history_.validation_loss == by_group.history_.validation_loss
    assert head.history_.validation_loss != by_sample.history_.validation_loss


@pytest.mark.parametrize("kind", ["linear", "knn"])
def test_heads_that_watch_nothing_are_given_no_groups(given, kind):
    assert fit_on_development(trial(kind), *given).predict(given[0].X).shape == (130,)


def test_of_one_group_samples_are_watched(given):
    columns, task = given
    task.groups[:] = 1
    assert fit_on_development(trial("mlp", hidden=[4], max_epochs=2), columns, task).history_.validation_loss
