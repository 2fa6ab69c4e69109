import pytest
import yaml

from pipelines.config_file import load_config
from pipelines.console import Bars
from pipelines.errors import RunError, UsageError
from pipelines.rank import rank_outputs


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
    assert {"backbone", "recipe", "output", "width", "logme", "h_score", "knn", "trained"} == set(ranked["candidates"][0])
    shown = headstart("rank", "layers.yaml", "--run", "run").out
    assert "Kendall's tau" in shown


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
