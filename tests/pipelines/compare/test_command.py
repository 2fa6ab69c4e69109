"""The command itself, its page and its processes."""

import json
import re

import pytest

from pipelines.compare.cells import Cell, CellFolder, Record
from pipelines.compare.job import Job, run_job
from pipelines.compare.running import compare_methods
from pipelines.compare.split import Split


def test_the_page_needs_nothing_from_elsewhere(compared, runner, project):
    config = compared("features", "layers", "full", changes=["compare.sizes=[10, all]", "compare.seeds=1"])
    runner.fails = ("layers",)
    compare_methods(config, "out", runner=runner)
    page = (project / "out" / "comparison.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", page)
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert page.count("<svg") == 2
    assert "made to fail" in page
    assert "Pareto front" in page
    assert "full fine-tuning" in page
    assert "prefers-color-scheme: dark" in page


@pytest.mark.slow
def test_the_command_compares_in_processes_of_their_own(headstart, project):
    text = (project / "config.yaml").read_text()
    few = "compare: {seeds: 1, trials: 1, epochs: 1, min_steps: 2, methods: [features, full]}\n"
    (project / "config.yaml").write_text(text + few)
    found = headstart.json("compare", "config.yaml", "--run", "out")
    assert [row["method"] for row in found["standings"]] == ["features", "full"]
    assert found["failures"] == []
    full = found["standings"][1]["costs"]
    assert full["memory"]["process"] > full["memory"]["above_libraries"] > 0
    told = headstart("compare", "config.yaml", "--run", "out", "--cached").out
    assert "features" in told
    assert "95% interval" in told
    assert "out/comparison.html" in told
    assert json.loads((project / "out" / "comparison.json").read_text()) == found


def test_a_process_that_dies_is_a_failed_cell():
    job = Job("nowhere.yaml", "store", "full", 0, {"lr": 1e-4}, None, 2, ["pooled"])
    record = run_job(job)
    assert record.error is not None
    assert "nowhere.yaml" in record.error


def test_a_cell_is_there_whole_or_not_at_all(tmp_path, rng):
    import numpy as np

    rows = np.arange(4)
    cell = Cell("full", 0, "all", {"lr": 1e-4}, {"epochs": 3}, Split(rows, rows, rows, rows, rows))
    folder = CellFolder(tmp_path)
    assert folder.read(cell) is None
    folder.write(cell, Record({"validation": 0.5}, rng.normal(size=(4, 2))))
    assert folder.read(cell).content["validation"] == 0.5
    (tmp_path / f"{cell.digest}.npy").unlink()
    assert folder.read(cell) is None
