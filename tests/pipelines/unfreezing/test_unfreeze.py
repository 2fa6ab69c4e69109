"""`headstart unfreeze`: a backbone tuned phase by phase, and a run that answers with it."""

import csv
import json

import numpy as np
import pytest
import torch

from heads import load_head, save_head
from pipelines import FeatureBasedModel
from pipelines.models.backbone_module import BackboneModule
from pipelines.models.objectives import Numbers
from pipelines.unfreeze_config import default_phases
from pipelines.unfreezing.tuned_head import tuned_head
from tests.extract.backbones.checkpoints import save_timm
from tests.images import write_image_folder

PHASES = """\
unfreeze:
  batch_size: 16
  phases:
    - {epochs: 2}
    - {layers: [layer.2], epochs: 2, lr: 1e-3}
    - {top: 2, epochs: 1, lr: 1e-3, decay: 0.5, rates: {layer.2: 5e-4}, schedule: linear, patience: 2}
"""


WORTH = {"good": 2, "great": 4, "loved": 5, "bad": -3, "awful": -4, "hated": -5}


def kept_of(told):
    """Return the epoch that each phase of a tuning kept."""
    return told["history"]["kept"]


def read_back(head, folder):
    save_head(head, folder / "head")
    return load_head(folder / "head").head


@pytest.fixture
def phases(project):
    with open(project / "config.yaml", "a") as file:
        file.write(PHASES)
    return project


def test_a_run_answers_with_the_tuned_backbone(phases, headstart):
    metrics = headstart.json("unfreeze", "config.yaml", "--run", "run")
    told = metrics["unfreeze"]
    assert [phase["epochs"] for phase in told["phases"]] == [2, 2, 1]
    assert [phase["learning"] > 0 for phase in told["phases"]] == [False, True, True]
    assert len(told["history"]["train_loss"]) == 5
    assert metrics["test"]["accuracy"]["low"] <= metrics["test"]["accuracy"]["value"] <= metrics["test"]["accuracy"]["high"]
    assert metrics["test"]["accuracy"]["value"] > 0.7
    run = phases / "run"
    for name in ("config.yaml", "tuning.yaml", "environment.json", "metrics.json", "report.html", "head/head.json"):
        assert (run / name).is_file(), name
    tuned = BackboneModule.load(f"hf:{run / 'backbone'}", device="cpu")
    assert tuned.checkpoint.weights != told["weights"]
    answers = headstart.json("predict", "run", "we loved the great film")["predictions"]
    assert answers[0]["label"] == "good"
    again = headstart.json("evaluate", "run")
    assert again["test"]["accuracy"]["value"] == metrics["test"]["accuracy"]["value"]


def test_what_it_does_is_told_line_by_line_and_in_tables(phases, headstart):
    told = headstart("unfreeze", "config.yaml", "--run", "run")
    assert "phase 1 of 3" in told.err
    assert "computed once, into the store" in " ".join(told.err.split())
    assert "phase by phase" in told.out
    assert "to extract with hf:backbone" in " ".join(told.err.split())  # and not with the folder that it is built in
    assert "tuned-" not in told.err + told.out
    assert not [path for path in phases.iterdir() if path.name.startswith(".run")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("unfreeze.phasse=[]", "`phasse` is not a key here; did you mean `phases`?"),
        ("unfreeze.phases=[{epochs: 0}]", "`unfreeze.phases.0.epochs`"),
        ("unfreeze.phases=[{layers: [layer.2], top: 1}]", "either `layers` or `top`"),
        ("unfreeze.phases=[{layers: [layer.7]}]", "did you mean `layer."),
        ("unfreeze.phases=[{layers: [7]}]", "there is no block 7"),
        ("unfreeze.phases=[{top: 9}]", "9 is more than the 3 blocks there are"),
        ("outputs=[mean, cls]", "unfreezing trains on one output"),
        ("backbones=[all-MiniLM-L6-v2, bert-base-uncased]", "unfreezing tunes one backbone"),
    ],
)
def test_a_mistake_in_the_config_is_one_line_with_its_place(project, headstart, change, message):
    told = headstart("unfreeze", "config.yaml", "--set", change, status=2)
    assert message in " ".join(told.err.split())
    assert f"--set {change}" in " ".join(told.err.split()) or "config.yaml" in told.err
    assert not (project / "runs").exists()


@pytest.fixture
def opinions(phases):
    """Reviews with a number that their words say, and with several labels, in the place of one class."""
    with open(phases / "reviews.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        words = row["text"].split()
        row["stars"] = 1000 + sum(words.count(word) * worth for word, worth in WORTH.items())
        row["kinds"] = ";".join(sorted({word for word in words if word in WORTH}))
    with open(phases / "reviews.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return phases


def test_a_regression_is_tuned_and_its_run_answers_with_numbers(opinions, headstart):
    change = ("--set", "task=regression", "--set", "data.label=stars", "--set", "heads=null")
    metrics = headstart.json("unfreeze", "config.yaml", "--run", "run", "--set", "unfreeze.lr=1e-2", *change)
    told = metrics["unfreeze"]
    assert told["metric"] == "r2"
    assert [phase["validation_r2"] for phase in told["phases"]] == [told["history"]["validation_r2"][e] for e in kept_of(told)]
    assert metrics["test"]["r2"]["value"] > 0.3
    assert 990 < headstart.json("predict", "run", "we loved the great film")["predictions"][0]["label"] < 1020
    again = headstart.json("evaluate", "run")
    assert again["test"]["r2"]["value"] == metrics["test"]["r2"]["value"]
    headstart("report", "run")
    told = headstart("unfreeze", "config.yaml", "--run", "again", "--set", "unfreeze.metric=neg_mean_absolute_error", *change)
    assert "r2" in told.out
    assert "computed once, into the store" not in " ".join(told.err.split())  # the boundary's states are of no task


def test_several_labels_are_tuned_and_the_run_answers_with_names(opinions, headstart):
    change = ("--set", "data.label=kinds", "--set", "data.multilabel=;", "--set", "unfreeze.class_weight=balanced")
    metrics = headstart.json("unfreeze", "config.yaml", "--run", "run", "--set", "unfreeze.lr=1e-2", *change)
    assert metrics["unfreeze"]["metric"] == "f1_macro"
    assert metrics["test"]["f1_macro"]["value"] > 0.4
    (answer,) = headstart.json("predict", "run", "we loved the great great film")["predictions"]
    assert set(answer["probabilities"]) == set(WORTH)
    assert isinstance(answer["label"], list)
    again = headstart.json("evaluate", "run")
    assert again["test"]["f1_macro"]["value"] == metrics["test"]["f1_macro"]["value"]
    headstart("report", "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("unfreeze.metric=accuracy", "metric 'accuracy' is not one of regression"),
        ("unfreeze.class_weight=balanced", "class_weight is of classes, and a regression has none"),
        ("unfreeze.label_smoothing=0.1", "label_smoothing is of classes, and a regression has none"),
    ],
)
def test_settings_of_classes_are_refused_for_numbers_before_anything_is_done(opinions, headstart, change, message):
    regression = ("--set", "task=regression", "--set", "data.label=stars", "--set", "heads=null")
    told = headstart("unfreeze", "config.yaml", *regression, "--set", change, status=2)
    assert message in " ".join(told.err.split())
    assert not (opinions / "features").exists()


def test_phases_by_default_go_from_the_top_down():
    assert [phase.top for phase in default_phases(12)] == [None, 2, 4]
    assert [phase.top for phase in default_phases(4)] == [None, 1, 2]
    assert [phase.top for phase in default_phases(0)] == [None]


def model_of(tiny_bert, task, outputs):
    torch.manual_seed(0)
    model = FeatureBasedModel.from_pretrained(f"hf:{tiny_bert}", task=task, num_classes=outputs, device="cpu").eval()
    model.set_scaling(torch.randn(32), torch.rand(32) + 0.5, 10)
    return model


@pytest.mark.parametrize("classes", [["bad", "good"], ["a", "b", "c"], ["b", "a"]])
def test_the_head_of_a_run_says_what_the_model_says(tiny_bert, tmp_path, classes):
    model = model_of(tiny_bert, "classification", len(classes))
    model.classes = classes
    X = torch.randn(7, 32)
    with torch.inference_mode():
        expected = model.classify(X).softmax(dim=1).numpy()
    head = read_back(tuned_head(model), tmp_path)
    np.testing.assert_allclose(head.predict_proba(X.numpy()), expected[:, np.argsort(classes)], atol=1e-5)
    assert head.classes_.tolist() == sorted(classes)


@pytest.mark.parametrize("labels", [2, 3])
def test_the_head_of_several_labels_says_what_the_model_says(tiny_bert, tmp_path, labels):
    model = model_of(tiny_bert, "multilabel", labels)
    model.classes = ["sad", "dry", "odd"][:labels]
    X = torch.randn(7, 32)
    with torch.inference_mode():
        expected = model.classify(X).sigmoid().numpy()
    head = read_back(tuned_head(model), tmp_path)
    np.testing.assert_allclose(head.predict_proba(X.numpy()), expected, atol=1e-5)


@pytest.mark.parametrize("numbers", [1, 2])
def test_the_head_of_numbers_says_what_the_model_says(tiny_bert, tmp_path, numbers):
    model = model_of(tiny_bert, "regression", numbers)
    model.learn(Numbers(np.array([2000, -3][:numbers], np.float32), np.array([10, 0.5][:numbers], np.float32)))
    X = torch.randn(7, 32)
    with torch.inference_mode():
        expected = model.objective.predictions(model.classify(X).numpy())
    head = read_back(tuned_head(model), tmp_path)
    np.testing.assert_allclose(head.predict(X.numpy()), expected, rtol=1e-5)


@pytest.mark.slow
def test_pictures_are_tuned_through_timm(tmp_path, monkeypatch, capsys):
    import timm

    from pipelines.cli import main

    write_image_folder(tmp_path / "pictures", 40)
    (tmp_path / "config.yaml").write_text(
        f"data: {{path: pictures}}\nbackbones: ['timm:{save_timm(tmp_path / 'model')}']\n"
        "unfreeze: {phases: [{epochs: 1}, {top: 1, epochs: 1}]}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["unfreeze", "config.yaml", "--run", "run", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["unfreeze"]["phases"][1]["learning"] > 0
    assert timm.create_model(f"local-dir:{tmp_path / 'run' / 'backbone'}", pretrained=True) is not None
