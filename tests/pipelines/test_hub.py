import json

import pytest
import yaml

from pipelines.errors import RunError, UsageError
from pipelines.hub import pull, push


@pytest.fixture
def run(headstart):
    headstart("train", "config.yaml", "--run", "run")
    return "run"


def test_a_pushed_head_is_pulled_and_answers_like_the_run(headstart, run, project):
    headstart("push", run, "shared")
    headstart("pull", "shared", "mine")
    texts = ("good great", "awful hated")
    assert headstart.json("predict", "mine", *texts) == headstart.json("predict", run, *texts)
    assert {file.name for file in (project / "shared").iterdir()} == {
        "README.md", "answers.json", "config.yaml", "head", "metrics.json"
    }  # fmt: skip


def test_a_pulled_head_has_no_report_and_is_not_compared_and_says_what_to_do_instead(headstart, run, project):
    headstart("push", run, "shared")
    headstart("pull", "shared", "mine")
    lacking = "no trials.parquet and no test_predictions.parquet"
    for command, said in ((("report", "mine"), lacking), (("runs", "compare", run, "mine"), "no test_predictions.parquet")):
        told = headstart(*command, status=2).err
        assert f"mine: has {said}" in told
        assert "headstart evaluate mine --file F" in told
    assert headstart.json("evaluate", "mine", "--file", "reviews.csv")["test"]["accuracy"]["value"] > 0.5


def test_the_card_says_what_it_is_in_the_hubs_words(headstart, run, project):
    from huggingface_hub import ModelCard

    headstart("push", run, "shared")
    card = ModelCard.load(project / "shared" / "README.md")
    accuracy = json.loads((project / "run/metrics.json").read_text())["test"]["accuracy"]["value"]
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results["accuracy"] == pytest.approx(accuracy, abs=1e-4)
    assert card.data.library_name == "headstart"
    assert "headstart predict" in card.text


def test_paths_of_the_machine_stay_on_it(headstart, run, project):
    headstart("push", run, "shared")
    content = yaml.safe_load((project / "shared/config.yaml").read_text())
    assert content["data"]["path"] == "reviews.csv"
    assert "store" not in content
    assert str(project) not in (project / "shared/metrics.json").read_text()


def test_only_what_belongs_to_a_head_is_copied(headstart, run, project):
    headstart("push", run, "shared")
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


def test_a_head_that_would_run_code_is_pulled_only_by_those_who_trust_it(headstart, run, project):
    headstart("push", run, "shared")
    saved = json.loads((project / "shared/head/head.json").read_text())
    for change in ({"backbone": "python:shared/head/x.py:make"}, {"trust_remote_code": True}):
        changed = saved | {"expects": saved["expects"] | {"backbone": saved["expects"]["backbone"] | change}}
        (project / "shared/head/head.json").write_text(json.dumps(changed))
        (project / "shared/head/x.py").write_text("boom")
        assert "--trust" in headstart("pull", "shared", "mine", status=1).err
        assert not (project / "mine").exists()
    pull("shared", project / "mine", trust=True)
    assert not (project / "mine/head/x.py").exists()


def test_the_hubs_cache_of_links_is_pulled_and_another_machines_store_is_not(headstart, run, project, monkeypatch):
    headstart("push", run, "shared")
    content = yaml.safe_load((project / "shared/config.yaml").read_text()) | {"store": "/somewhere/else"}
    (project / "shared/config.yaml").write_text(yaml.safe_dump(content))
    snapshot, blobs = project / "cache/snapshots/abc", project / "cache/blobs"
    blobs.mkdir(parents=True)
    for number, file in enumerate(file for file in sorted((project / "shared").rglob("*")) if file.is_file()):
        (blobs / str(number)).write_bytes(file.read_bytes())
        link = snapshot / file.relative_to(project / "shared")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blobs / str(number))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, revision: str(snapshot))
    headstart("pull", "hub:somebody/head", "mine")
    assert headstart.json("predict", "mine", "good great")["predictions"][0]["label"] == "good"
    assert "store" not in yaml.safe_load((project / "mine/config.yaml").read_text())
    assert not (project / "mine/features").exists()


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
