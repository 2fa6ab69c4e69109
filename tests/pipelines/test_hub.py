import json

import pytest
import yaml

from pipelines.errors import RunError, UsageError
from pipelines.hub import pull, push


@pytest.fixture
def run(here):
    here("train", "config.yaml", "--run", "run")
    return "run"


def test_a_pushed_head_is_pulled_and_answers_like_the_run(here, run, project):
    here("push", run, "shared")
    here("pull", "shared", "mine")
    texts = ("good great", "awful hated")
    assert here.json("predict", "mine", *texts) == here.json("predict", run, *texts)
    assert {file.name for file in (project / "shared").iterdir()} == {
        "README.md", "answers.json", "config.yaml", "head", "metrics.json"
    }  # fmt: skip


def test_the_card_says_what_it_is_in_the_hubs_words(here, run, project):
    from huggingface_hub import ModelCard

    here("push", run, "shared")
    card = ModelCard.load(project / "shared" / "README.md")
    accuracy = json.loads((project / "run/metrics.json").read_text())["test"]["accuracy"]["value"]
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results["accuracy"] == pytest.approx(accuracy, abs=1e-4)
    assert card.data.library_name == "headstart"
    assert "headstart predict" in card.text


def test_paths_of_the_machine_stay_on_it(here, run, project):
    here("push", run, "shared")
    content = yaml.safe_load((project / "shared/config.yaml").read_text())
    assert content["data"]["path"] == "reviews.csv"
    assert content["store"] == "features"
    assert str(project) not in (project / "shared/metrics.json").read_text()


def test_only_what_belongs_to_a_head_is_copied(here, run, project):
    here("push", run, "shared")
    (project / "shared/extra.py").write_text("boom")
    (project / "shared/head/link").symlink_to("/etc/passwd")
    pull("shared", project / "mine")
    assert not (project / "mine/extra.py").exists()
    assert not (project / "mine/head/link").exists()
    answers = json.loads((project / "shared/answers.json").read_text())
    answers["heads"][0]["folder"] = "../run/head"
    (project / "shared/answers.json").write_text(json.dumps(answers))
    with pytest.raises(RunError, match="outside the run"):
        pull("shared", project / "other")


def test_what_is_no_head_and_a_hub_out_of_reach_are_one_line(run, project, monkeypatch):
    with pytest.raises(UsageError, match="is no pushed head"):
        pull(str(project), project / "mine")
    (project / "full").mkdir()
    (project / "full/x").write_text("x")
    with pytest.raises(UsageError, match="exists already"):
        push(project / "run", str(project / "full"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RunError, match="hub cannot be reached"):
        pull("hub:somebody/head", project / "mine")
    with pytest.raises(RunError, match="hub cannot be reached"):
        push(project / "run", "hub:somebody/head")
