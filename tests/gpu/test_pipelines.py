"""Commands and trainers on a GPU."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import FeatureBasedModel, FeatureBasedTrainer
from tests.extract.backbones.checkpoints import save_timm
from tests.images import write_image_folder
from tests.pipelines.compare.conftest import COMPARE, Runner
from tests.pipelines.tiny_models import EVALUATION, TRAIN


def test_a_run_made_on_a_gpu_answers_on_a_cpu(headstart, project):
    warnings.simplefilter("ignore")
    path = project / "config.yaml"
    path.write_text(
        path.read_text()
        + "  - {kind: mlp, hidden: [[16], [8]], max_epochs: 5}\n  - {kind: attention, max_epochs: 3}\noutputs: [{layer: last, pooling: [mean, tokens]}]\n"
    )
    told = headstart.json("train", "config.yaml", "--run", "here")
    assert told["test"]["accuracy"]["value"] > 0.8
    assert json.loads((project / "here" / "environment.json").read_text())["gpus"]
    by_gpu = headstart.json("predict", "here", "we loved it", "so bad and awful")
    config = project / "here" / "config.yaml"
    config.write_text(config.read_text().replace("device: auto", "device: cpu"))
    by_cpu = headstart.json("predict", "here", "we loved it", "so bad and awful")
    assert [one["label"] for one in by_gpu["predictions"]] == [one["label"] for one in by_cpu["predictions"]]


def test_heads_learn_where_the_config_says(headstart, project, monkeypatch):
    from heads import devices

    asked = []
    for module, name in (
        ("heads.trained", "training_device"),
        ("heads.solvers.mlp", "training_device"),
        ("heads.solvers.linear", "solving_device"),
        ("heads.solvers.warm_start", "solving_device"),
    ):
        choose = getattr(devices, name)
        spied = lambda device, *work, choose=choose: asked.append(device) or choose(device, *work)  # noqa: E731
        monkeypatch.setattr(f"{module}.{name}", spied)
    path = project / "config.yaml"
    path.write_text(path.read_text() + "  - {kind: mlp, max_epochs: 2}\n")
    headstart("train", "config.yaml", "--set", "device=cpu")
    assert asked
    assert set(asked) == {"cpu"}


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_training_from_a_boundary_on_is_training_the_whole_model(precision, tiny_bert, tmp_path):
    def make():
        return FeatureBasedModel.from_pretrained(f"hf:{tiny_bert}", store=str(tmp_path / "features"), precision=precision)

    models = [make(), make()]
    models[1].classifier.load_state_dict(models[0].classifier.state_dict())
    histories = []
    for model, cached in zip(models, (True, False), strict=True):
        trainer = FeatureBasedTrainer(
            model, TRAIN, EVALUATION, say=None, learning_rate=1e-2, batch_size=8, cache_boundary=cached
        )
        trainer.unfreeze_layers([-1])
        torch.manual_seed(1)
        histories.append(trainer.train(3, learning_rate=1e-3))
        assert next(model.backbone.parameters()).device.type == "cuda"
        assert trainer.cost.peak_bytes > 0
    most = 1e-3 if precision == "float32" else 3e-2
    np.testing.assert_allclose(histories[0].train_loss, histories[1].train_loss, atol=most)
    np.testing.assert_allclose(histories[0].validation_loss, histories[1].validation_loss, atol=most)
    assert histories[0].train_loss[-1] < histories[0].train_loss[0]


def test_a_tuned_model_is_saved_and_comes_back(tiny_bert, tmp_path):
    model = FeatureBasedModel.from_pretrained(f"hf:{tiny_bert}", store=str(tmp_path / "features"))
    trainer = FeatureBasedTrainer(model, TRAIN, EVALUATION, say=None, learning_rate=1e-2, batch_size=8)
    trainer.train(2)
    trainer.train(2, freeze_backbone=False, learning_rate=1e-4)
    before = trainer.predict_proba(EVALUATION)
    model.save(tmp_path / "model")
    back = FeatureBasedModel.load(tmp_path / "model", device="cpu")
    after = FeatureBasedTrainer(back, TRAIN, say=None).predict_proba(EVALUATION)
    np.testing.assert_allclose(before, after, atol=0.03)


def test_a_comparison_tells_the_device_s_memory_and_energy(headstart, project):
    from pipelines.compare.running import compare_methods
    from pipelines.config_file import load_config

    path = project / "config.yaml"
    path.write_text(path.read_text() + COMPARE.format(methods="features, layers, full, partial, lpft, lora"))
    found = compare_methods(load_config(path), "out", runner=Runner()).to_json()
    assert not found["failures"]
    for row in found["standings"]:
        assert row["costs"]["memory"]["device"] > 0
        if Path("/dev/nvidiactl").exists():
            assert "NVML" in row["costs"]["energy"]["source"]
            assert row["costs"]["energy"]["joules"] > 0
    headstart("compare", "config.yaml", "--run", "out", "--cached")


def test_images_are_fine_tuned_phase_by_phase(headstart, tmp_path):
    save_timm(tmp_path / "model", "efficientnet")
    write_image_folder(tmp_path / "images", count=40, splits=("train", "test"))
    (tmp_path / "images.yaml").write_text(
        f"name: images\ndata: {{path: images}}\nbackbones: ['timm:{tmp_path / 'model'}']\n"
        "unfreeze: {phases: [{layers: [], epochs: 2}, {layers: [-1], epochs: 2}]}\n"
    )
    told = headstart.json("unfreeze", "images.yaml")
    assert told["test"]["accuracy"]["value"] > 0.4
