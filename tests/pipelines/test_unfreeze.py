"""`headstart unfreeze`: a backbone tuned phase by phase, and a run that answers with it."""

import json

import numpy as np
import pytest
import torch

from pipelines import FeatureBasedModel
from pipelines.backbone_module import BackboneModule
from pipelines.config_file import load_config
from pipelines.errors import UsageError
from pipelines.unfreeze import linear_head
from pipelines.unfreeze_config import default_phases
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


def test_regression_is_refused_before_anything_is_done(project):
    from pipelines.unfreeze import _check

    config = load_config(project / "config.yaml", ["task=regression", "heads=null"])
    with pytest.raises(UsageError, match=r"unfreezing learns one class a sample, and this is regression"):
        _check(config)


def test_phases_by_default_go_from_the_top_down():
    assert [phase.top for phase in default_phases(12)] == [None, 2, 4]
    assert [phase.top for phase in default_phases(4)] == [None, 1, 2]
    assert [phase.top for phase in default_phases(0)] == [None]


def test_the_head_of_a_run_says_what_the_model_says(tiny_bert, tmp_path):
    torch.manual_seed(0)
    for classes in (["bad", "good"], ["a", "b", "c"]):
        model = FeatureBasedModel.from_pretrained(f"hf:{tiny_bert}", num_classes=len(classes), device="cpu").eval()
        model.set_scaling(torch.randn(32), torch.rand(32) + 0.5, 10)
        model.classes = classes
        X = torch.randn(7, 32)
        with torch.inference_mode():
            expected = model.classify(X).softmax(dim=1).numpy()
        head = linear_head(model)
        np.testing.assert_allclose(head.predict_proba(X.numpy()), expected, atol=1e-5)
        assert head.classes_.tolist() == classes


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
