"""What was made on one kind of machine is of use on another."""

import json

import pytest

from extract import devices


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


def test_features_of_another_precision_are_told_of_before_they_are_computed_again(headstart, as_on_a_gpu):
    headstart("extract", "config.yaml")
    as_on_a_gpu()
    told = " ".join(headstart("extract", "config.yaml").err.split())
    assert "holds 120 of the samples to extract in bfloat16; `--set backbones.0.precision=bfloat16` uses those" in told
    assert "120 found in cache" in headstart("extract", "config.yaml", "--set", "backbones.0.precision=bfloat16").err
    assert "holds" not in headstart("extract", "config.yaml").err
