import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import RunError, UsageError
from pipelines.runs import compare_runs, list_runs

IDS = [f"row-{number}" for number in range(40)]


def write_run(folder, predicted, label=None, time="2026-01-01T10:00:00+0000", ids=IDS):
    label = label or ["a", "b"] * 20
    folder.mkdir(parents=True)
    right = sum(p == t for p, t in zip(predicted, label, strict=True)) / len(label)
    metrics = {
        "task": "regression" if isinstance(label[0], float) else "classification",
        "metric": "accuracy",
        "selected": {"head": "linear", "backbone": "hf:x", "output": "pooled", "validation": {"accuracy": 0.8}},
        "test": {"accuracy": {"value": right, "low": right - 0.1, "high": right + 0.1}},
        "samples": {"test": len(label)},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "environment.json").write_text(json.dumps({"time": time}))
    pq.write_table(pa.table({"id": ids, "label": label, "predicted": predicted}), folder / "test_predictions.parquet")
    return folder


def test_runs_are_listed_newest_first_and_a_broken_one_is_told(tmp_path):
    write_run(tmp_path / "old", ["a", "b"] * 20)
    write_run(tmp_path / "new", ["a", "b"] * 20, time="2026-02-01T10:00:00+0000")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/metrics.json").write_text("{}")
    (tmp_path / "no-run").mkdir()
    found, faults = list_runs(tmp_path)
    assert [entry.run for entry in found] == [str(tmp_path / "new"), str(tmp_path / "old")]
    assert found[0].validation == 0.8
    assert len(faults) == 1
    assert "broken" in faults[0]


def test_a_better_run_is_better_beyond_luck(tmp_path):
    worse = write_run(tmp_path / "worse", ["a"] * 40)
    better = write_run(tmp_path / "better", ["a", "b"] * 20)
    pair = compare_runs([worse, better])["pairs"][0]
    assert pair["samples"] == 40
    assert pair["difference"]["mean"] == pytest.approx(0.5)
    assert pair["difference"]["low"] > 0
    assert pair["mcnemar"]["only_first"] == 20
    assert pair["mcnemar"]["p_exact"] < 1e-4


def test_only_common_samples_are_compared_by_their_ids(tmp_path):
    first = write_run(tmp_path / "first", ["a"] * 40)
    second = write_run(tmp_path / "second", ["a", "b"] * 10, label=["a", "b"] * 10, ids=IDS[20:])
    assert compare_runs([first, second])["pairs"][0]["samples"] == 20


def test_numbers_are_compared_by_errors_avoided(tmp_path):
    label = [float(number) for number in range(40)]
    worse = write_run(tmp_path / "worse", [value + 2 for value in label], label)
    better = write_run(tmp_path / "better", [value + 0.5 for value in label], label)
    pair = compare_runs([worse, better])["pairs"][0]
    assert pair["difference"]["mean"] == pytest.approx(1.5)
    assert pair["mcnemar"] is None


def test_what_cannot_be_compared_is_one_line(tmp_path):
    first = write_run(tmp_path / "first", ["a"] * 40)
    with pytest.raises(UsageError, match="at least two"):
        compare_runs([first])
    with pytest.raises(UsageError, match="no test sample is in both"):
        compare_runs([first, write_run(tmp_path / "other", ["a"] * 40, ids=[f"x{n}" for n in range(40)])])
    with pytest.raises(UsageError, match="row-0 is `a` in one and `b` in the other"):
        compare_runs([first, write_run(tmp_path / "turned", ["a"] * 40, label=["b", "a"] * 20)])
    (tmp_path / "bare").mkdir()
    with pytest.raises(UsageError, match="is not a run folder"):
        compare_runs([first, tmp_path / "bare"])
    (first / "test_predictions.parquet").write_bytes(b"x")
    with pytest.raises(RunError, match="predictions cannot be read"):
        compare_runs([first, write_run(tmp_path / "third", ["a"] * 40)])


def test_a_backbone_that_a_run_has_tuned_is_named_with_the_run(headstart, project, tiny_bert):
    shutil.copytree(tiny_bert, project / "words" / "backbone")
    (project / "words" / "metrics.json").touch()
    change = f"backbones=['hf:{project}/words/backbone']"
    assert "(words/backbone)" in headstart("train", "config.yaml", "--run", "runs/one", "--set", change).out
    assert "(words/backbone)" in headstart("runs", "ls").out
    assert headstart.json("rank", "config.yaml", "--set", change)["candidates"][0]["settings"] == "words/backbone"


def test_runs_of_real_experiments_are_listed_and_compared(headstart):
    headstart("train", "config.yaml", "--run", "runs/one")
    headstart("train", "config.yaml", "--run", "runs/two", "--set", "heads.0.C=[0.000001]")
    assert {entry["run"] for entry in headstart.json("runs", "ls")["runs"]} == {"runs/one", "runs/two"}
    assert "linear" in headstart("runs", "ls").out
    compared = headstart.json("runs", "compare", "runs/one", "runs/two")
    assert compared["pairs"][0]["against"] == "runs/one"
    assert "samples in common" in headstart("runs", "compare", "runs/one", "runs/two").out
    assert "give at least two runs" in headstart("runs", "compare", "runs/one", status=2).err
