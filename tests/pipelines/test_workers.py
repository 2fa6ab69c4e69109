import os

import joblib
import pytest
from joblib.parallel import get_active_backend
from sklearn.tree import DecisionTreeClassifier

from heads import SweepCV
from pipelines.config_file import load_config
from pipelines.workers import fitting_workers

TREES = "heads=[{kind: sklearn.tree.DecisionTreeClassifier, max_depth: [1, 3], random_state: 0}]"


class WhereFitted(DecisionTreeClassifier):
    """Scores by the process that fitted it."""

    def score(self, X, y):
        return float(os.getpid())


def fitted_in(blobs):
    """Return the processes in which a sweep fitted."""
    X, y = blobs
    sweep = SweepCV(WhereFitted(), {"max_depth": [1, 2, 3]}, cv=3, refit=False).fit(X, y)
    return {int(score) for n in range(3) for score in sweep.cv_results_[f"split{n}_test_score"]}


@pytest.fixture
def blobs():
    from sklearn.datasets import make_classification

    return make_classification(60, 5, random_state=0)


def test_a_sweep_is_fitted_where_joblib_is_told_to(blobs):
    assert fitted_in(blobs) == {os.getpid()}
    with joblib.parallel_config("loky", n_jobs=2):
        assert os.getpid() not in fitted_in(blobs)


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_cluster_tries_heads_and_gives_the_same_scores(process, headstart, monkeypatch, backend):
    pytest.importorskip(backend)
    monkeypatch.setenv("RAY_ADDRESS", "local")  # and not a cluster that another test has started
    plain = headstart.json("train", "config.yaml", "--run", "plain", "--set", TREES)
    changes = ["--set", TREES, "--set", f"search.backend={backend}", "--set", "search.n_jobs=2"]
    spread = process.json("train", "config.yaml", "--run", "spread", *changes)
    assert spread["failed_trials"] == 0
    assert spread["selected"]["validation"] == plain["selected"]["validation"]
    assert spread["test"] == plain["test"]


def test_a_config_names_the_workers_and_leaves_joblib_as_it_was(project):
    with joblib.parallel_config("threading", n_jobs=3):
        with fitting_workers(load_config(project / "config.yaml")):
            assert get_active_backend()[1] == 3
        with fitting_workers(load_config(project / "config.yaml", ["search.n_jobs=2"])):
            assert get_active_backend()[1] == 2
        assert get_active_backend()[1] == 3


def test_a_cluster_that_is_not_there_is_told_in_one_line(project, headstart):
    pytest.importorskip("dask")
    changes = ["--set", TREES, "--set", "search.backend=dask", "--set", "search.address=nowhere"]
    told = headstart("train", "config.yaml", *changes, status=2).err
    assert "no Dask cluster at nowhere" in " ".join(told.split())
