"""Training on augmented views from a config, through the command line."""

import json
from pathlib import Path

import pytest

from cache import FeatureStore
from pipelines.cli import main
from pipelines.experiment import run_experiment
from tests.extract.backbones.checkpoints import save_timm
from tests.images import write_image_folder
from tests.pipelines.test_search import Counting

HEADS = [{"kind": "linear", "C": [1.0]}, {"kind": "mlp", "hidden": [[8]], "max_epochs": 20}, {"kind": "knn"}]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_timm(tmp_path / "model", "convnext")
    write_image_folder(tmp_path / "data", 40, splits=("train", "train", "train", "test"))
    return tmp_path


def train(place, capsys, views, heads=HEADS, status=0, **more):
    backbones = views if isinstance(views, list) else [{"name": "timm:model", "views": {"count": 2, **views}}]
    content = {"name": "views", "data": {"path": "data"}, "backbones": backbones, "heads": heads, **more}
    (place / "c.json").write_text(json.dumps(content | {"selection": {"folds": 2}}))
    assert main(["train", "c.json", "--run", "run", "--json"]) == status
    told = capsys.readouterr()
    return json.loads(told.out) if not status else told.err


def answers(capsys):
    assert main(["predict", "run", "data/test", "--json"]) == 0
    return [entry["label"] for entry in json.loads(capsys.readouterr().out)["predictions"]]


@pytest.mark.parametrize("use", ["sample", "average"])
def test_heads_are_trained_on_views_of_the_training_images_and_tested_on_plain_ones(place, capsys, use):
    metrics = train(place, capsys, {"use": use})
    assert metrics["extract"]["recipes"][0]["extracted"] == 30 * 3 + 10
    assert metrics["failed_trials"] == 0
    assert metrics["trials"] == 3
    assert metrics["test"]["accuracy"]["value"] > 0.8
    assert answers(capsys) == ["bright"] * 5 + ["dark"] * 5
    [recipe] = FeatureStore("features").recipes()
    assert FeatureStore("features").holding(recipe).rows == 100  # no views for what is predicted


def test_answers_may_be_for_the_mean_of_views(place, capsys):
    metrics = train(place, capsys, {"test": "average"}, heads=HEADS[:1])
    assert metrics["extract"]["recipes"][0]["extracted"] == 120
    write_image_folder(place / "new", 4, seed=5)
    assert main(["predict", "run", "new", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["predictions"]
    assert [entry["label"] for entry in told] == ["bright", "bright", "dark", "dark"]
    [recipe] = FeatureStore("features").recipes()
    assert FeatureStore("features").holding(recipe).rows == 132


def test_calibration_nested_folds_and_ensembles_go_with_views(place, capsys):
    selection = {"calibrate": "temperature", "ensemble": 2}
    metrics = train(place, capsys, {}, heads=HEADS[:2], **selection)
    assert metrics["test"]["accuracy"]["value"] > 0.8
    assert main(["train", "c.json", "--run", "run", "--set", "selection.nested=true", "--json"]) == 0


def test_tokens_of_views_train_an_attention_head_and_have_no_mean(place, capsys):
    attention, outputs = [{"kind": "attention", "max_epochs": 3}], [{"pooling": "tokens"}]
    metrics = train(place, capsys, {}, heads=attention, outputs=outputs)
    assert metrics["failed_trials"] == 0
    assert "tokens of views have no mean" in train(place, capsys, {"use": "average"}, attention, 1, outputs=outputs)


def test_two_ways_with_the_same_views_are_not_one_experiment(place, capsys):
    twins = [{"name": "timm:model", "views": {"count": 2, "use": use}} for use in ("sample", "average")]
    told = train(place, capsys, twins, status=2)
    assert "gives the same features as backbone 1 in the list" in told


@pytest.mark.parametrize("use", ["sample", "average"])
def test_halving_tries_as_many_as_were_counted_whatever_the_views_become(place, use):
    content = {
        "name": "views",
        "data": {"path": "data"},
        "backbones": [{"name": "timm:model", "views": {"count": 2, "use": use}}],
        "heads": [{"kind": "linear", "C": [1e-4, 1e-3, 1e-2, 1e-1, 1, 10]}, {"kind": "mlp", "hidden": [[4], [8], [16], [32]]}],
        "search": {"method": "halving", "factor": 2},
        "selection": {"folds": 2},
    }
    (place / "c.json").write_text(json.dumps(content))
    bars = Counting()
    run_experiment(Path("c.json"), None, "run", (), False, bars, lambda note: None)
    assert bars.done == bars.total > 10
