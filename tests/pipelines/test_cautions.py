from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml

from heads import KNNHead, LinearHead
from pipelines.cautions import by_heart, cautions, end_of_range, too_wide
from pipelines.columns import Columns
from pipelines.config import Config
from pipelines.task import Task
from pipelines.trials import Score, Trial


def trial(C=1.0, score=0.5, head="linear", width=8, **params):
    params = params if C is None else {"C": C, **params}
    scores = {"accuracy": Score(score, 0.0)}
    return Trial(head, params, "b", "r", ("pooled",), width, scores, {"accuracy": (score,)}, 0.0)


def config(**content):
    base = {"name": "x", "data": {"path": "x.csv"}, "backbones": ["b"], "heads": [{"kind": "linear", "C": [0.1, 1, 10]}]}
    return Config.model_validate(base | content)


def told(scores, **params):
    trials = [trial(C, score, **params) for C, score in scores.items()]
    return end_of_range(trials, max(trials, key=lambda one: one.scores["accuracy"].mean), config())


def test_a_penalty_at_the_end_of_its_range_is_told():
    assert (
        told({0.1: 0.5, 1.0: 0.6, 10.0: 0.7})
        == "the best C of linear, 10, lies at the end of its range (0.1 to 10); widen it in `heads`: `C: {log: [0.1, 1000, 5]}`"
    )
    assert "0.1, lies at the end" in told({0.1: 0.7, 1.0: 0.6, 10.0: 0.5})


def test_where_no_head_is_named_the_way_out_names_all_that_were_tried():
    default = config(heads=None)
    trials = [trial(C, C, standardize=True, whiten=None, width=99) for C in (1e-4, 1e-3, 1e-2, 1e-1)]
    advice = end_of_range(trials, trials[-1], default)
    assert "`outputs: layers` and `heads: [" in advice
    followed = config(outputs="layers", **yaml.safe_load("{" + advice.rpartition(" and `")[2].removesuffix("`") + "}"))
    assert followed.heads[0] == default.heads[0]
    assert followed.heads[1].space() == default.heads[1].space() | {"C": [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0]}
    assert followed.heads[1].outputs == "all"


def test_a_penalty_within_its_range_or_as_good_as_the_next_is_not():
    assert told({0.1: 0.5, 1.0: 0.7, 10.0: 0.6}) is None
    assert told({0.1: 0.5, 1.0: 0.7, 10.0: 0.7}) is None


def test_two_penalties_are_no_range():
    assert told({0.1: 0.5, 1.0: 0.7}) is None


def test_only_trials_that_differ_in_nothing_else_make_the_range():
    others = [trial(C, 0.9, whiten=1.0) for C in (100.0, 1000.0)]
    chosen = trial(10.0, 0.7, whiten=None)
    trials = [*others, trial(0.1, 0.5, whiten=None), trial(1.0, 0.6, whiten=None), chosen]
    assert "(0.1 to 10)" in end_of_range(trials, chosen, config())


def test_trials_on_more_features_than_samples_are_told():
    assert too_wide([trial(), trial(width=50)], 50) is None
    assert too_wide([trial(), trial(width=51)], 50).startswith("1 of 2 trials have more features (up to 51)")


def test_a_head_that_knows_its_own_samples_by_heart_is_told():
    assert by_heart(0.80, 0.89, "accuracy") is None
    assert "accuracy 1.000 on the samples it was fitted to and 0.800 on those left out" in by_heart(0.8, 1.0, "accuracy")


@dataclass(frozen=True)
class Noise:
    """Labels that the features say nothing about."""

    columns: Columns = field(default_factory=lambda: Columns(np.random.default_rng(0).normal(size=(60, 200)), (200,)))
    labels: Any = field(default_factory=lambda: np.array(["a", "b"] * 30))

    @property
    def task(self):
        return Task("classification", np.arange(60), self.labels, (), None, None, np.arange(60) >= 50, [])


def test_a_head_fitted_to_noise_is_told_and_k_nn_is_not():
    noise = Noise()
    linear = LinearHead(C=1e3).fit(noise.columns.X, noise.labels)
    found = cautions([trial(width=200)], trial(width=200), linear, noise.columns, noise.task, config())
    assert len(found) == 2
    assert "by heart" in found[1]
    near = KNNHead().fit(noise.columns.X, noise.labels)
    chosen = trial(None, head="knn", width=200)
    assert len(cautions([chosen], chosen, near, noise.columns, noise.task, config())) == 1
