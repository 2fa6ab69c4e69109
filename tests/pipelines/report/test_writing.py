import json
import shutil
from pathlib import Path

import pytest

from pipelines.bars import Bars
from pipelines.errors import RunError, UsageError
from pipelines.experiment import run_experiment
from pipelines.report import Effort, rebuild_report

EFFORT = Effort(arranged=50, methods=("pca", "tsne"))


@pytest.fixture
def run(project):
    run_experiment(Path("config.yaml"), None, "run", (), False, Bars(quiet=True), lambda note: None)
    return project / "run"


def page_of(run):
    return (run / "report.html").read_text(encoding="utf-8")


def test_a_run_has_a_report_with_map_classes_and_data_quality(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["roc_auc"].keys() == {"value", "low", "high"}
    assert metrics["per_class"][0]["f1"].keys() == {"value", "low", "high"}
    for part in ('id="map-data"', "Data quality", "Calibration", "All 120 samples"):
        assert part in page_of(run)
    assert (run / "figures" / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_is_rebuilt_without_a_backbone(run, project, tiny_bert, monkeypatch):
    monkeypatch.setattr("extract.extractor.find_backbone", None)
    (run / "report.html").unlink()
    assert rebuild_report(run, effort=EFFORT) == []
    assert "All 120 samples" in page_of(run)


def test_a_report_of_an_older_run_leaves_out_what_it_lacks(run):
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("per_class", "groups", "reliability", "standings", "comparison", "decision", "notes"):
        metrics.pop(name, None)
    (run / "metrics.json").write_text(json.dumps(metrics))
    (run / "environment.json").unlink()
    assert rebuild_report(run, effort=EFFORT) == []
    assert "Leaderboard" in page_of(run)


@pytest.mark.parametrize("gone", ["features", "reviews.csv"])
def test_without_features_or_data_there_is_a_report_without_map_and_a_note(run, project, gone):
    shutil.rmtree(project / gone) if (project / gone).is_dir() else (project / gone).unlink()
    (missing,) = rebuild_report(run, effort=EFFORT)
    assert "there are no texts and no map" in missing
    assert 'id="map"' not in page_of(run)
    assert "Most confident mistakes" in page_of(run)


def test_what_is_no_run_is_one_line(run, project):
    with pytest.raises(UsageError, match="is not a run folder"):
        rebuild_report(project)
    (run / "trials.parquet").write_bytes(b"no table")
    with pytest.raises(RunError, match="cannot be read as a run"):
        rebuild_report(run, effort=EFFORT)
