"""Fine-tuning of image backbones, convolutions and transformers alike."""

import json

import pytest

from pipelines.compare.running import compare_methods
from pipelines.config_file import load_config
from tests.extract.backbones.checkpoints import save_timm
from tests.images import write_image_folder


@pytest.mark.parametrize(("family", "augment"), [("resnet", "flip-crop"), ("vit", None)])
def test_images_are_fine_tuned_in_every_way(tmp_path, monkeypatch, runner, family, augment):
    monkeypatch.chdir(tmp_path)
    save_timm(tmp_path / "model", family)
    write_image_folder(tmp_path / "data", 30, splits=("train", "train", "test"))
    (tmp_path / "data/train/dark/broken.jpg").write_bytes(b"no picture")
    compare = {"seeds": 1, "trials": 1, "epochs": 1, "min_steps": 2, "batch_size": 16, "augment": augment}
    config = {"name": "images", "data": {"path": "data"}, "backbones": ["timm:model"], "compare": compare}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    found = compare_methods(load_config(tmp_path / "c.yaml"), "out", runner=runner)
    assert not found.failures
    assert [standing.method for standing in found.standings] == ["features", "layers", "full", "partial", "lpft", "lora"]
    learns = {standing.method: standing.costs.trainable for standing in found.standings}
    assert learns["full"] > learns["partial"] > learns["features"]
    assert found.standings[0].test["accuracy"].value > 0.8
