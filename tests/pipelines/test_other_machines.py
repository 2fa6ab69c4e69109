"""What was made on one kind of machine is of use on another."""

import json

import pytest

from extract import devices
from tests.extract.backbones.checkpoints import save_timm
from tests.images import picture


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Have `auto` mean what it means on a GPU, until it is called."""

    def choose(precision, device):
        return precision if precision != "auto" else "bfloat16"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "choose_precision", choose)
        patch.setattr("extract.place.Here.precision", staticmethod(choose))
        yield patch.undo


def test_a_run_of_a_gpu_answers_where_there_is_none(headstart, project, as_on_a_gpu):
    told = headstart.json("train", "config.yaml", "--run", "run")
    expects = json.loads((project / "run" / "head" / "head.json").read_text())["expects"]
    assert expects["backbone"]["precision"] == "bfloat16"
    as_on_a_gpu()
    config = project / "run" / "config.yaml"
    config.write_text(config.read_text().replace("device: auto", "device: cuda"))
    assert len(headstart.json("predict", "run", "we loved it", "so bad and awful")["predictions"]) == 2
    again = headstart.json("evaluate", "run", "--file", "reviews.csv")
    assert again["samples"] > told["samples"]["test"]
    headstart("evaluate", "run")
    headstart("report", "run")
    headstart("inspect", "run")


def test_features_of_another_precision_are_told_of_before_they_are_computed_again(headstart, as_on_a_gpu):
    headstart("extract", "config.yaml")
    as_on_a_gpu()
    told = " ".join(headstart("extract", "config.yaml").err.split())
    assert "holds 120 of the samples to extract in bfloat16; `--set backbones.0.precision=bfloat16` uses those" in told
    assert "120 found in cache" in headstart("extract", "config.yaml", "--set", "backbones.0.precision=bfloat16").err
    assert "holds" not in headstart("extract", "config.yaml").err


def test_pictures_in_tables_are_not_read_for_that(monkeypatch, tmp_path):
    from cache import FeatureStore
    from extract import BackboneSpec, Samples, find_backbone
    from pipelines import other_precision

    folder = save_timm(tmp_path / "model")
    checkpoint, spec = find_backbone(f"timm:{folder}"), BackboneSpec(f"timm:{folder}")
    samples = Samples.of([picture(number) for number in range(3)])
    store = FeatureStore(tmp_path / "store")
    store.prepare(other_precision.make_recipe(checkpoint, spec, "bfloat16"))
    monkeypatch.setattr(Samples, "admit", lambda *how: pytest.fail("read"))
    assert other_precision.find_other_precision(store, samples, checkpoint, spec, None, "cpu") is None


@pytest.mark.parametrize(
    ("asked", "expected"), [("auto", "auto"), ("cpu", "cpu"), ("mps", "auto"), ("cuda", "auto"), ("cuda:7", "auto")]
)
def test_heads_compute_where_the_config_says_if_they_can(asked, expected, project):
    from pipelines.config_file import load_config

    assert load_config(project / "config.yaml", [f"device={asked}"]).head_device == expected


def test_a_run_says_which_gpus_there_were(monkeypatch, tmp_path):
    from pipelines import environment

    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA H200\nIRQ:   \t\t 12\n")
    monkeypatch.setattr(environment, "DRIVER", tmp_path)
    assert environment.gpus() == ["NVIDIA H200"]
    monkeypatch.setattr(environment, "DRIVER", tmp_path / "nothing")
    assert isinstance(environment.gpus(), list)
