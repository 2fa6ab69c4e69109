import numpy as np
import pytest

from pipelines.quality.label_errors import answer_held_out, suspect_labels
from pipelines.task import Task


def task_of(kind, labels, names=(), test=None):
    count = len(labels)
    test = np.arange(count) % 5 == 0 if test is None else test
    return Task(kind, np.arange(count), labels, names, None, None, test, [])


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=600)
    return rng.normal(size=(600, 10)) + 2.2 * np.eye(3, 10)[codes] * 1.5, codes, rng


def test_flipped_labels_are_found_in_training_and_in_test_with_the_right_suggestion(clouds):
    X, codes, rng = clouds
    flipped = rng.choice(600, 18, replace=False)
    noisy = codes.copy()
    noisy[flipped] = (codes[flipped] + 1) % 3
    task = task_of("classification", np.array(["a", "b", "c"])[noisy])
    found = suspect_labels(answer_held_out(X, task), task)
    first = found.positions[:18]
    assert np.isin(first, flipped).mean() > 0.7  # by chance 3%
    assert np.isin(flipped, found.positions).mean() > 0.8
    held = np.isin(found.positions, flipped)
    right = [task_name == "abc"[codes[at]] for task_name, at in zip(found.suggested, found.positions, strict=True)]
    assert np.mean(np.array(right)[held]) > 0.8
    assert (np.diff(found.doubt) <= 1e-9).all()


def test_of_several_labels_the_wrong_one_is_turned_round(clouds):
    X, codes, rng = clouds
    table = np.stack([codes == 0, codes != 1], axis=1).astype(int)
    flipped = rng.choice(600, 18, replace=False)
    table[flipped, 0] = 1 - table[flipped, 0]
    task = task_of("multilabel", table, ("zero", "not one"))
    found = suspect_labels(answer_held_out(X, task), task)
    assert np.isin(found.positions[:18], flipped).mean() > 0.6
    assert set(found.suggested) <= {"none", "zero", "not one", "zero, not one"}


def test_of_numbers_those_far_off_are_found():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    y = X[:, 0] * 3 + rng.normal(scale=0.2, size=300)
    y[[7, 100]] += 9
    task = task_of("regression", y)
    found = suspect_labels(answer_held_out(X, task), task)
    assert set(found.positions[:2].tolist()) == {7, 100}


def test_a_class_that_only_the_test_split_has_and_one_of_a_single_sample_do_no_harm(clouds):
    X, codes, _ = clouds
    labels = np.array(["a", "b", "c"])[codes].astype("<U9")
    labels[0], labels[1] = "only test", "single"
    task = task_of("classification", labels)
    assert 0 not in suspect_labels(answer_held_out(X, task), task).positions
