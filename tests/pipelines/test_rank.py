import dataclasses
import shutil

import pytest
import yaml

from pipelines import console
from pipelines.bars import Bars
from pipelines.config_file import load_config
from pipelines.errors import RunError, UsageError
from pipelines.rank import _agreement, rank_outputs


@pytest.fixture
def config(project):
    content = yaml.safe_load((project / "config.yaml").read_text())
    content["outputs"] = [{"layer": "all", "pooling": ["cls", "mean"]}]
    (project / "layers.yaml").write_text(yaml.safe_dump(content))
    return load_config(project / "layers.yaml")


def rank(config, **asked):
    return rank_outputs(config, None, **{"run": None, "check": False, "progress": Bars(quiet=True)} | asked)


def test_every_output_is_estimated_and_the_best_comes_first(config):
    ranking = rank(config)
    scores = [candidate.logme for candidate in ranking.candidates]
    assert len(scores) == 8
    assert scores == sorted(scores, reverse=True)
    assert ranking.samples == 96
    assert ranking.agreement == {}
    # the first token before any layer is the same for every text
    assert ranking.candidates[-1].output == "layer0.cls"
    assert ranking.candidates[0].knn > 0.9


def test_trained_heads_say_how_far_to_trust_the_estimates(config):
    ranking = rank(config, check=True)
    assert all(candidate.trained is not None for candidate in ranking.candidates)
    assert ranking.agreement.keys() == {"logme", "h_score", "knn"}
    assert all(-1 <= agreement.tau <= 1 and agreement.outputs == 8 for agreement in ranking.agreement.values())
    assert ranking.agreement["knn"].tau > 0


def test_a_runs_trials_do_as_well(headstart, project, config):
    headstart("train", "layers.yaml", "--run", "run")
    ranked = headstart.json("rank", "layers.yaml", "--run", "run")
    assert ranked["agreement"]["logme"]["outputs"] == 8
    fields = {"backbone", "recipe", "output", "width", "logme", "h_score", "knn", "trained", "settings"}
    assert fields == set(ranked["candidates"][0])
    shown = headstart("rank", "layers.yaml", "--run", "run").out
    assert "Kendall's tau" in shown


def test_names_stay_on_one_line_in_a_narrow_terminal(headstart, project, config, monkeypatch):
    content = yaml.safe_load((project / "layers.yaml").read_text())
    long = project / "a-folder-of-a-backbone-with-quite-a-long-name"
    shutil.copytree(content["backbones"][0].removeprefix("hf:"), long)
    (project / "long.yaml").write_text(yaml.safe_dump(content | {"backbones": [f"hf:{long}"]}))

    def shown(width):
        monkeypatch.setattr(console.out, "width", width)
        return headstart("rank", "long.yaml").out.splitlines()

    wide, narrow, narrower = shown(120), shown(80), shown(60)
    assert all(heading in wide[2] for heading in ("backbone", "output", "width", "LogME", "H-score", "k-NN"))
    assert "width" not in narrow[2]
    assert all(len(lines) == len(wide) for lines in (narrow, narrower))
    assert all(f"hf:{long.name}" in line for line in wide[4:12])
    assert all("hf:a-fold" in line and "…" in line and "layer" in line for line in narrower[4:12])


def test_a_run_that_cannot_say_how_estimates_agree_says_why(headstart, project, config):
    side_by_side = (project / "layers.yaml").read_text().replace("kind: linear", "kind: linear\n  outputs: all")
    (project / "all.yaml").write_text(side_by_side)
    headstart("train", "all.yaml", "--run", "run")
    ranked = headstart("rank", "layers.yaml", "--run", "run")
    assert "Kendall" not in ranked.out
    told = " ".join(ranked.err.split())
    assert "no Kendall's tau: it takes two outputs with trained heads of their own, and 0 of 8 have any" in told
    assert "run cannot say how far to trust this; --check trains a linear head on every output" in told
    assert len(headstart.json("rank", "layers.yaml", "--run", "run")["notes"]) == 2
    assert headstart.json("rank", "layers.yaml")["notes"] == []


def test_estimates_and_heads_that_are_all_equal_have_no_tau(config, project):
    content = yaml.safe_load((project / "layers.yaml").read_text()) | {"outputs": [{"layer": 0, "pooling": "cls"}]}
    (project / "one.yaml").write_text(yaml.safe_dump(content))
    assert "1 of 1 have any" in rank(load_config(project / "one.yaml"), check=True).notes[0]
    candidates = rank(config).candidates[:2]
    same = [
        dataclasses.replace(candidate, knn=1.0, trained=score) for candidate, score in zip(candidates, (0.1, 0.2), strict=True)
    ]
    agreement, notes = _agreement(same)
    assert agreement.keys() == {"logme", "h_score"}
    assert notes == ["no Kendall's tau of `knn`: it is the same for all 2 outputs"]
    assert "equally good" in _agreement([dataclasses.replace(candidate, trained=1.0) for candidate in same])[1][0]


def test_what_cannot_be_compared_is_one_line(config, project):
    with pytest.raises(UsageError, match="not both"):
        rank(config, run=project, check=True)
    with pytest.raises(RunError, match="trials cannot be read"):
        rank(config, run=project)


def test_the_check_is_a_whole_grid_and_one_backbone_used_in_two_ways_is_two(config, project):
    content = yaml.safe_load((project / "layers.yaml").read_text())
    content["backbones"] = [content["backbones"][0], {"name": content["backbones"][0], "max_length": 3}]
    content |= {"outputs": ["mean"], "search": {"method": "halving", "resource": "max_epochs", "max_resources": 9}}
    (project / "two.yaml").write_text(yaml.safe_dump(content))
    ranking = rank(load_config(project / "two.yaml"), check=True)
    assert len({candidate.recipe for candidate in ranking.candidates}) == 2
    assert len({candidate.trained for candidate in ranking.candidates}) == 2
    assert {candidate.settings for candidate in ranking.candidates} == {"", "max_length 3"}
