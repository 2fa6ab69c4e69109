import csv
import json
import re

import pytest

from pipelines.cli import main
from pipelines.errors import UsageError
from pipelines.inspect import inspect


@pytest.fixture
def headstart(project, capsys):
    """Run the command in this process; return what it printed."""

    def run(*arguments, status=0):
        capsys.readouterr()
        assert main(list(arguments)) == status
        return capsys.readouterr().out

    run.json = lambda *arguments: json.loads(run(*arguments, "--json"))
    return run


def add_rows(project):
    """Put a training review among the test's, and one with the wrong label into training."""
    path = project / "reviews.csv"
    lines = path.read_text().splitlines()
    text = next(line for line in lines if line.endswith("train")).split(",")[0]
    path.write_text("\n".join([*lines, f"{text},good,short,test", "bad awful hated bad awful,good,short,train"]) + "\n")


def test_a_config_is_inspected_and_its_issues_written(project, headstart):
    add_rows(project)
    found = headstart.json("inspect", "config.yaml")
    assert found["samples"] == 122
    assert found["counts"]["leak"] >= 1
    assert found["counts"]["label_error"] >= 1
    rows = list(csv.DictReader((project / "reviews-inspection.csv").read_text().splitlines()))
    assert len(rows) == sum(found["counts"].values())
    assert {"reviews.csv:122", "reviews.csv:123"} <= {row["id"] for row in rows}
    told = headstart("inspect", "config.yaml")
    assert "likely label errors" in told
    assert re.search(r"all of them: +reviews-inspection.csv", told)


def test_a_run_is_inspected_and_reported_from_its_store(project, headstart):
    headstart("train", "config.yaml", "--run", "run")
    found = headstart.json("inspect", "run", "--table", "issues.parquet")
    assert found["table"] == "issues.parquet"
    report = headstart.json("report", "run", "--quick")
    assert report["missing"] == []
    assert report["bytes"] == (project / "run" / "report.html").stat().st_size
    headstart("report", "nowhere", status=2)


def test_unlabelled_samples_are_compared_all_the_same(project, headstart):
    config = (project / "config.yaml").read_text().replace("label: label, ", "")
    (project / "bare.yaml").write_text(config)
    found = headstart.json("inspect", "bare.yaml")
    assert found["counts"]["label_error"] == 0
    assert (found["samples"], found["left_out"]) == (120, 120)


def test_samples_without_a_label_among_others_are_looked_at_too(project, headstart):
    path = project / "reviews.csv"
    before = headstart.json("inspect", "config.yaml")["counts"]
    lines = path.read_text().splitlines()
    trained, tested = (next(line for line in lines if line.endswith(part)).split(",")[0] for part in ("train", "test"))
    path.write_text("\n".join([*lines, f"{trained},,short,train", f"{tested},,short,train", f"{tested},,short,"]) + "\n")
    found = headstart.json("inspect", "config.yaml")
    assert (found["samples"], found["left_out"]) == (123, 3)
    assert "3 samples without a label or a split were looked at for everything that needs none" in found["notes"]
    same = [issue for issue in found["issues"] if issue["kind"] == "exact_duplicate"]
    assert {issue["id"] for issue in same} == {"reviews.csv:122", "reviews.csv:123", "reviews.csv:124"}
    assert {(issue["split"], issue["label"]) for issue in same} == {("", "")}
    assert all(found["counts"][kind] == before[kind] for kind in ("leak", "conflicting_labels", "label_error"))
    headstart("train", "config.yaml", "--run", "run")
    assert headstart.json("inspect", "run")["left_out"] == 3


def test_a_similarity_that_is_none_is_one_line(project):
    with pytest.raises(UsageError, match="a cosine similarity is above 0"):
        inspect(project / "config.yaml", similarity=1.5)
