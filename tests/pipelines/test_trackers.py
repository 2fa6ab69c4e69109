import json

import numpy as np
import pytest

from pipelines import FeatureBasedTrainer
from pipelines.errors import UsageError
from pipelines.trackers import TensorBoardTracker, WandbTracker, check_trackers, require
from tests.pipelines.models import EVALUATION, TRAIN, make_model
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
    assert "config.yaml:6" in headstart("train", "config.yaml", status=2).stderr
