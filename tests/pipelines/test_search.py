import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.datasets import make_classification

from heads import HalvingRandomSweepCV, HalvingSweepCV, LinearHead, OptunaSweepCV, RandomSweepCV, SweepCV
from pipelines.bars import Bars
from pipelines.config import Search
from pipelines.errors import UsageError
from pipelines.experiment import run_experiment
from pipelines.search import count_trials, make_sweep
from pipelines.spaces import Range

GRID = {"C": [0.01, 0.1, 1.0, 10.0], "class_weight": [None, "balanced"]}
RANGE = {"C": Range("log", 1e-3, 1e3)}


class Counting(Bars):
    def __init__(self):
        super().__init__(quiet=True)
        self.total = self.done = self.failed = 0

    def start_trials(self, trials):
        super().start_trials(trials)
        self.total = trials

    def advance_trial(self, score, failed):
        super().advance_trial(score, failed)
        self.done += 1
        self.failed += failed


@pytest.fixture
def train(project):
    """Train with changes to the project's config; return the metrics, the table of trials and what progress was told."""

    def run(**changes):
        content = yaml.safe_load((project / "config.yaml").read_text()) | changes
        (project / "changed.yaml").write_text(yaml.safe_dump(content))
        bars = Counting()
        done = run_experiment(Path("changed.yaml"), None, "run", (), False, bars, lambda note: None)
        return done.metrics, pq.read_table(project / "run" / "trials.parquet").to_pylist(), bars

    return run


@pytest.mark.parametrize(
    ("search", "space", "kind"),
    [
        ({}, GRID, SweepCV),
        ({"method": "random", "trials": 3}, RANGE, RandomSweepCV),
        ({"method": "halving"}, GRID, HalvingSweepCV),
        ({"method": "halving", "trials": 4, "factor": 2}, RANGE, HalvingRandomSweepCV),
        ({"method": "optuna", "trials": 3}, RANGE, OptunaSweepCV),
    ],
)
def test_each_method_is_a_sweep_that_tries_as_many_as_were_counted(search, space, kind):
    X, y = make_classification(300, n_informative=4, n_classes=3, random_state=0)
    search, told = Search.model_validate(search), []
    sweep = make_sweep(search, LinearHead(), space, ["accuracy", "f1_macro"], 3, told.append)
    assert type(sweep) is kind
    sweep.fit(X, y)
    assert len(told) == count_trials(search, space, 300, 3, 3)
    assert set(told[0].scores) == {"accuracy", "f1_macro"}


def test_without_a_number_fifty_are_drawn_but_never_more_than_there_are():
    assert count_trials(Search(method="random"), RANGE, 600, 3, 3) == 50
    assert count_trials(Search(method="optuna"), GRID, 600, 3, 3) == 8


def test_halving_chooses_among_the_last_round_and_lists_those_it_dropped_with_what_they_had(train):
    head = {"kind": "linear", "C": [1e-4, 1e-3, 1e-2, 1e-1, 1, 10]}
    metrics, trials, bars = train(heads=[head], search={"method": "halving", "factor": 2}, selection={"folds": 2})
    assert metrics["trials"] == len(trials) == 6
    assert bars.done == bars.total > 6
    dropped = [trial["dropped_at"] is not None for trial in trials]
    assert dropped == sorted(dropped)
    assert 0 < sum(dropped) < 6
    assert metrics["selected"]["params"] == json.loads(trials[0]["params"])


def test_halving_counts_on_two_classes_where_every_label_holds_or_not(train):
    data = {"path": "reviews.csv", "label": "label", "multilabel": ";", "split": "split"}
    search, head = {"method": "halving", "factor": 2}, {"kind": "linear", "C": {"log": [1e-3, 1e3, 24]}}
    _, _, bars = train(data=data, heads=[head], search=search, selection={"folds": 2})
    assert bars.done == bars.total > 24


def test_a_range_is_drawn_from_and_the_same_seed_draws_the_same(train):
    asked = {"heads": [{"kind": "linear", "C": {"log": [1e-3, 1e2]}}], "search": {"method": "random", "trials": 4, "seed": 2}}
    _, one, _ = train(**asked)
    _, two, _ = train(**asked)
    assert [trial["params"] for trial in one] == [trial["params"] for trial in two]
    assert all(1e-3 <= json.loads(trial["params"])["C"] <= 1e2 for trial in one)


def test_a_trial_that_fails_shows_its_reason_among_the_notes(train):
    metrics, trials, bars = train(
        heads=[{"kind": "sklearn.svm.LinearSVC", "loss": "hinge", "dual": [False, True]}, {"kind": "mlp", "max_epochs": 1}]
    )
    assert metrics["failed_trials"] == bars.failed == 1
    told = "1 of 2 trials of sklearn.svm.LinearSVC failed: ValueError: Unsupported set of arguments"
    assert any(note.startswith(told) for note in metrics["notes"])
    assert trials[-1]["error"] is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": [{"kind": "linear", "C": {"log": [1, 2]}}]}, r"changed.yaml:\d+: `C` is a range, which only a search that"),
        ({"heads": [{"kind": "linear", "C": {"log": [2, 1]}}]}, r"changed.yaml:\d+: `C` cannot be spread: 2 to 1 is no log"),
        (
            {"heads": [{"kind": "linear", "C": {"log": [1, -1, 3]}}]},
            r"changed.yaml:\d+: `C` cannot be spread: both ends of `log` must be above 0",
        ),
        (
            {"search": {"method": "halving", "resource": "max_epochs", "max_resources": 9}},
            r"changed.yaml:\d+: the head `linear` has no parameter `max_epochs`",
        ),
        (
            {"search": {"method": "halving", "resource": "C", "max_resources": 9}},
            r"changed.yaml:\d+: `C` is the resource, so no head can name it",
        ),
        ({"search": {"method": "halving", "min_resources": 900}}, r"changed.yaml:\d+: the first rung needs 900"),
    ],
)
def test_a_search_that_does_not_go_with_the_heads_or_the_data_is_one_line(train, changes, message):
    with pytest.raises(UsageError, match=message):
        train(**changes)


def test_without_optuna_the_config_s_line_is_named(train, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"changed.yaml:\d+: a search by Optuna needs .* `pip install headstart\[search\]`"):
        train(search={"method": "optuna"})
