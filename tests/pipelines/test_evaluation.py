import numpy as np
import pytest

from heads import Estimate
from pipelines.evaluation import look_closer, stand_trials
from pipelines.outcome import Outcome
from pipelines.task import Task
from pipelines.trials import Score, Trial

NOTHING: dict[str, Estimate] = {}


def test_classes_groups_and_confidence_are_told_apart():
    true = np.arange(60) % 2
    predicted = np.where(np.arange(60) >= 30, 1 - true, true)
    probabilities = np.where(np.arange(2) == predicted[:, None], 0.9, 0.1)
    outcome = Outcome(true, predicted, probabilities, np.arange(60), NOTHING)
    found = look_closer("classification", outcome, ["a", "b"], ["good"] * 30 + ["bad"] * 30)
    assert [(row["name"], row["support"], row["recall"]["value"]) for row in found["per_class"]] == [
        ("a", 30, 0.5),
        ("b", 30, 0.5),
    ]
    assert {row["name"]: row["metrics"]["accuracy"]["value"] for row in found["groups"]} == {"good": 1.0, "bad": 0.0}
    assert found["reliability"]["accuracy"] == [0.5]
    assert found["reliability"]["confidence"] == pytest.approx([0.9])


def test_numbers_and_several_labels_have_what_goes_with_them():
    numbers = Outcome(np.arange(40.0), np.arange(40.0) + 1, None, np.arange(40), NOTHING)
    found = look_closer("regression", numbers, [], ["g"] * 40)
    assert found["per_class"] == []
    assert found["reliability"] is None
    assert found["groups"][0]["metrics"]["mean_absolute_error"]["value"] == 1
    table = np.eye(2, dtype=int)[np.arange(40) % 2]
    found = look_closer("multilabel", Outcome(table, table, table * 0.8 + 0.1, np.arange(40), NOTHING), ["x", "y"], None)
    assert [row["f1"]["value"] for row in found["per_class"]] == [1, 1]
    assert found["groups"] == []


def trial(head, folds):
    scores = {"accuracy": Score(float(np.mean(folds)), 0.0)}
    return Trial(head, {}, "b", "r", ("pooled",), 4, scores, {"accuracy": tuple(folds)}, 0.1)


def test_the_winner_is_compared_with_the_best_trial_of_every_other_head():
    task = Task("classification", np.arange(100), np.array(["a", "b"] * 50), (), None, None, np.zeros(100, bool), [])
    ranked = [
        trial("linear", [0.9, 0.91, 0.92]),
        trial("linear", [0.8] * 3),
        trial("knn", [0.6, 0.62, 0.61]),
        trial("mlp", [0.5] * 3),
    ]
    found = stand_trials(ranked, ranked[0], "accuracy", task)
    assert [row["head"] for row in found] == ["knn", "mlp"]
    assert all(row["low"] < row["mean"] < row["high"] and row["p"] < 0.05 for row in found)
    assert stand_trials(ranked, trial("linear", [0.9]), "accuracy", task) == []


def test_confidence_is_that_of_the_answer_even_where_a_threshold_chose_it():
    true, probabilities = np.repeat([0, 1], 30), np.tile([0.7, 0.3], (60, 1))
    outcome = Outcome(true, np.ones(60, int), probabilities, np.arange(60), NOTHING)
    found = look_closer("classification", outcome, ["a", "b"], None)["reliability"]
    assert (found["confidence"], found["accuracy"]) == (pytest.approx([0.3]), [0.5])
