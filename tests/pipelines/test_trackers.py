import json

import numpy as np
import pytest

from pipelines import FeatureBasedTrainer
from pipelines.errors import UsageError
from pipelines.trackers import MlflowTracker, TensorBoardTracker, WandbTracker, check_trackers, require
from tests.pipelines.models.test_trainer_tasks import TASKS
from tests.pipelines.tiny_models import EVALUATION, TRAIN, make_model
from tests.wandb_file import read_run


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Let wandb write to a folder here."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def mlflow_file(tmp_path_factory):
    """A store of MLflow's, which takes seconds to make."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def mlflow(mlflow_file, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlflow_file}/mlflow.db")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)  # what set_experiment sets, removed again at the end
    monkeypatch.chdir(mlflow_file)
    return pytest.importorskip("mlflow")


def mlflow_run(name):
    """Return the newest run of an experiment and the names of its artifacts."""
    from mlflow import MlflowClient

    client = MlflowClient()
    run = client.search_runs([client.get_experiment_by_name(name).experiment_id], max_results=1)[0]
    folders = [entry.path for entry in client.list_artifacts(run.info.run_id)]
    return run, [*folders, *(entry.path for entry in client.list_artifacts(run.info.run_id, "figures"))]


def test_tensorboard_gets_curves_settings_pictures_and_the_projector(tiny_bert, tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path / "events"))
    model = make_model(tiny_bert, tmp_path)
    FeatureBasedTrainer(model, TRAIN, EVALUATION, tensorboard_writer=writer, say=None).train(3)
    found = events(tmp_path / "events")
    assert [event.step for event in found.Scalars("validation_accuracy")] == [0, 1, 2]
    assert {"train_loss", "lr", "evaluation/accuracy", "seconds"} <= set(found.Tags()["scalars"])
    assert set(found.Tags()["images"]) == {"learning_curves", "confusion_matrix"}
    assert "config/text_summary" in found.Tags()["tensors"]
    (folder,) = {path.parent for path in (tmp_path / "events").rglob("metadata.tsv")}
    assert (folder / "metadata.tsv").read_text().split()[:2] == [label for _, label in EVALUATION][:2]
    assert len((folder / "tensors.tsv").read_text().splitlines()) == 30


@pytest.mark.slow
@pytest.mark.parametrize("name", ["numbers", "several labels"])
def test_trackers_are_told_the_task_s_own_score_by_its_name(tiny_bert, tmp_path, name):
    told, (settings, data) = Noted(), TASKS[name]
    trainer = FeatureBasedTrainer(make_model(tiny_bert, tmp_path, **settings), *data, say=None)
    trainer.trackers = [told]
    trainer.train(1)
    metric = {"numbers": "r2", "several labels": "f1_macro"}[name]
    assert {f"train_{metric}", f"validation_{metric}"} <= told.names
    assert f"evaluation/{metric}" in told.names
    assert told.figures == ["learning_curves"]  # confusions are of classes


class Noted:
    """A tracker that remembers names."""

    def __init__(self):
        self.names, self.figures = set(), []

    def scalars(self, numbers, step):
        self.names |= set(numbers)

    def summary(self, numbers):
        self.names |= set(numbers)

    def figure(self, name, figure):
        self.figures.append(name)

    def embedding(self, name, features, labels):
        assert len(features) == len(labels)

    def finish(self):
        pass


def test_wandb_gets_the_same_in_the_run_that_is_on(tiny_bert, offline, tmp_path):
    import wandb

    run = wandb.init(project="test", config={"mine": 1})
    FeatureBasedTrainer(make_model(tiny_bert, tmp_path), TRAIN, EVALUATION, use_wandb=True, say=None).train(2)
    assert wandb.run is run  # the user's run goes on
    wandb.finish()
    wandb.teardown()
    rows, config, summary = read_run(offline)
    assert [row["step"] for row in rows if "train_loss" in row] == [0, 1]
    assert any("learning_curves" in name for row in rows for name in row)
    assert {"mine", "learning_rate", "backbone"} <= config
    assert "evaluation/accuracy" in summary


@pytest.mark.slow
def test_wandb_begins_a_run_where_none_is_on(offline):
    import wandb

    tracker = WandbTracker("mine", offline)
    tracker.scalars({"trials/accuracy": 0.5}, 1)
    tracker.finish()
    assert wandb.run is None
    wandb.teardown()
    rows, _, _ = read_run(offline)
    assert rows[0]["trials/step"] == 1


@pytest.mark.slow
def test_mlflow_gets_every_phase_in_the_run_that_is_on_or_in_one_of_its_own(tiny_bert, mlflow, tmp_path, monkeypatch):
    mlflow.set_experiment("mine")
    with mlflow.start_run():
        FeatureBasedTrainer(make_model(tiny_bert, tmp_path), TRAIN, EVALUATION, use_mlflow=True, say=None).train(2)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    trainer = FeatureBasedTrainer(make_model(tiny_bert, tmp_path), TRAIN, EVALUATION, use_mlflow=True, say=None)
    for _ in range(2):
        trainer.train(2)
    for name, epochs in (("mine", 2), ("headstart", 4)):
        run, artifacts = mlflow_run(name)
        history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "validation_accuracy")
        assert [entry.step for entry in history] == list(range(epochs))
        assert run.info.status == "FINISHED"
        assert run.data.params["batch_size"] == "32"
        assert {"evaluation/accuracy", "train_loss", "seconds"} <= set(run.data.metrics)
        assert {"config.yaml", "features.parquet", "figures/confusion_matrix.png", "figures/learning_curves.png"} <= set(
            artifacts
        )


@pytest.mark.slow
def test_headstart_train_tells_mlflow_where_its_user_keeps_runs(headstart, project, mlflow, mlflow_file):
    with open(project / "config.yaml", "a") as file:
        file.write("trackers: [mlflow]\n")
    headstart("train", project / "config.yaml", "--run", project / "told")
    run, artifacts = mlflow_run("headstart")
    assert run.info.run_name == "told"
    assert (run.data.params["name"], run.data.params["heads.0.kind"]) == ("reviews", "linear")
    assert json.loads(run.data.params["heads.0.C"]) == [0.1, 10]
    assert [entry.step for entry in mlflow.MlflowClient().get_metric_history(run.info.run_id, "trials/accuracy")] == [1, 2]
    told = json.loads((project / "told/metrics.json").read_text())["test"]["accuracy"]["value"]
    assert run.data.metrics["test/accuracy"] == pytest.approx(told)
    assert "figures/confusion_matrix.png" in artifacts


@pytest.mark.slow
def test_mlflow_takes_a_setting_once_and_cuts_what_it_would_not_take(mlflow):
    tracker = MlflowTracker("long")
    for length in (1, 7000):
        tracker.config({"texts": ["x" * 7000], "n": length, "inner": {"a": {}, "b": None}})
    tracker.finish()
    params = mlflow_run("headstart")[0].data.params
    assert (params["n"], params["inner.a"], params["inner.b"], len(params["texts"])) == ("1", "{}", "null", 6000)


def test_a_package_that_is_not_there_is_one_line_with_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(UsageError, match=r"wandb is not installed; pip install 'headstart\[trackers\]'"):
        check_trackers(["wandb"])
    assert require("json") is json


def test_a_writer_of_its_own_is_closed(tmp_path):
    tracker = TensorBoardTracker(tmp_path)
    tracker.summary({"test/accuracy": 0.5})
    tracker.finish()
    assert events(tmp_path).Scalars("test/accuracy")[0].value == 0.5


@pytest.mark.slow
def test_headstart_train_tells_both_trackers(headstart, project, offline):
    with open(project / "config.yaml", "a") as file:
        file.write("trackers: [wandb, tensorboard]\n")
    headstart("train", "config.yaml", "--run", "run")
    found = events(project / "run" / "tensorboard")
    assert [event.step for event in found.Scalars("trials/accuracy")] == [1, 2]
    assert "test/accuracy" in found.Tags()["scalars"]
    assert "figures/confusion_matrix" in found.Tags()["images"]
    assert list((project / "run" / "tensorboard").rglob("metadata.tsv"))
    rows, config, summary = read_run(project / "run")
    assert {"name", "heads"} <= config
    assert "test/accuracy" in summary
    assert [row["trials/step"] for row in rows if "trials/accuracy" in row] == [1, 2]


def test_labels_with_tabs_and_new_lines_are_a_row_of_the_projector_each(tmp_path):
    tracker = TensorBoardTracker(tmp_path)
    tracker.embedding("features", np.eye(3), ["a\tb", " two\nlines\r\n", 7])
    tracker.finish()
    (file,) = tmp_path.rglob("metadata.tsv")
    assert file.read_text().splitlines() == ["a b", "two lines", "7"]


def test_a_tracker_that_is_not_known_is_told_with_its_line(headstart, project):
    with open(project / "config.yaml", "a") as file:
        file.write("trackers: [tensorbord]\n")
    assert "config.yaml:6" in headstart("train", "config.yaml", status=2).err
