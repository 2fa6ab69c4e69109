import json

import numpy as np
import pytest

from pipelines.compare.cells import EXTRACTION
from pipelines.compare.running import compare_methods
from pipelines.errors import UsageError


def methods_of(runner):
    return [job.method for job in runner.jobs]


def test_every_method_is_scored_and_costed(compared, runner, tmp_path):
    found = compare_methods(compared("features", "layers", "full", "partial", "lpft", "lora"), "out", runner=runner).to_json()
    assert not found["failures"]
    rows = {row["method"]: row for row in found["standings"]}
    assert list(rows) == ["features", "layers", "full", "partial", "lpft", "lora"]
    for row in rows.values():
        accuracy = row["test"]["accuracy"]
        assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
        assert row["test"]["log_loss"]["value"] > 0
        assert len(row["seeds"]) == len(row["chosen"]) == 2
        assert row["costs"]["seconds"]["total"] > 0
        assert row["costs"]["memory"]["process"] > 2**20
    learns = {name: row["costs"]["trainable"] for name, row in rows.items()}
    assert learns["features"] < learns["layers"] < learns["lora"] < learns["partial"] < learns["full"] == learns["lpft"]
    assert rows["features"]["costs"]["seconds"]["extraction"] > 0 == rows["full"]["costs"]["seconds"]["extraction"]
    assert any(row["on_front"] for row in rows.values())
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == found
    assert (tmp_path / "out" / "figures" / "accuracy_time.png").stat().st_size > 1000


def test_equal_effort_is_equal_trials_on_equal_samples(compared, runner):
    compare_methods(compared("features", "full"), "out", runner=runner)
    full = [job for job in runner.jobs if job.method == "full"]
    features = [job for job in runner.jobs if job.method == "features"]
    assert len(full) == 2 * 2
    assert all(len(job.params["C"]) == 2 for job in features)
    for seed in (0, 1):
        same = [job.split for job in runner.jobs if job.seed == seed and job.split is not None]
        assert all(np.array_equal(same[0].train, split.train) for split in same)
        assert not set(same[0].train) & set(same[0].validation)
        assert not set(same[0].test) & set(same[0].train)
    assert not np.array_equal(features[0].split.validation, features[1].split.validation)


def test_no_method_is_given_the_labels_of_test_samples(compared, runner):
    compare_methods(compared("features", "full"), "out", runner=runner)
    for job in runner.jobs:
        told = json.loads(job.to_json())
        if told["split"] is not None:
            assert set(told["split"]) == {"train", "validation", "test", "train_codes", "validation_codes"}
            assert len(told["split"]["train_codes"]) == len(told["split"]["train"])


def test_a_comparison_goes_on_where_it_was_stopped(compared, runner):
    class StoppedError(Exception):
        pass

    def stopping(job, show):
        if len(runner.jobs) == 3:
            raise StoppedError
        return runner(job, show)

    config = compared("features", "full")
    with pytest.raises(StoppedError):
        compare_methods(config, "out", runner=stopping)
    first = methods_of(runner)
    found = compare_methods(config, "out", runner=runner)
    assert len(runner.jobs) == 1 + 2 + 4
    assert methods_of(runner)[: len(first)] == first
    again = compare_methods(config, "out", runner=runner)
    assert len(runner.jobs) == 1 + 2 + 4
    assert again == found


def test_a_changed_config_runs_only_what_changed(compared, runner):
    compare_methods(compared("features", "full", "partial"), "out", runner=runner)
    runner.jobs.clear()
    compare_methods(compared("features", "full", "partial", changes=["compare.top_blocks=1"]), "out", runner=runner)
    assert methods_of(runner) == ["partial"] * 4
    runner.jobs.clear()
    compare_methods(compared("features", "full", changes=["compare.epochs=3"]), "out", runner=runner)
    assert methods_of(runner) == ["full"] * 4
    runner.jobs.clear()
    compare_methods(compared("features", changes=["compare.penalties=[1e-2, 1e-1]"]), "out", runner=runner)
    assert methods_of(runner) == ["features"] * 2


def test_other_weights_are_another_extraction(compared, runner, tmp_path):
    from tests.conftest import save_encoder

    compare_methods(compared("features"), "out", runner=runner)
    runner.jobs.clear()
    other = save_encoder(tmp_path / "other", seed=1)
    compare_methods(compared("features", changes=[f"backbones=['hf:{other}']"]), "out", runner=runner)
    assert methods_of(runner) == [EXTRACTION, "features", "features"]


def test_a_failed_cell_is_recorded_and_tried_again(compared, runner):
    notes = []
    runner.fails = ("full",)
    config = compared("features", "full")
    found = compare_methods(config, "out", notes.append, runner=runner)
    assert [standing.method for standing in found.standings] == ["features"]
    assert len(found.failures) == 4
    assert "made to fail" in notes[-1]
    runner.fails, before = (), len(runner.jobs)
    found = compare_methods(config, "out", runner=runner)
    assert len(runner.jobs) - before == 4
    assert not found.failures


def test_what_is_there_is_reported_without_running(compared, runner):
    config = compared("features", "full")
    compare_methods(compared("features"), "out", runner=runner)
    before = len(runner.jobs)
    found = compare_methods(config, "out", runner=runner, new_cells=False)
    assert len(runner.jobs) == before
    assert [standing.method for standing in found.standings] == ["features"]


def test_later_seeds_may_take_over_what_the_first_chose(compared, runner):
    found = compare_methods(compared("full", changes=["compare.search=first"]), "out", runner=runner)
    tuned = [job for job in runner.jobs if job.method == "full"]
    assert [job.seed for job in tuned] == [0, 0, 1]
    assert found.standings[0].chosen[1] == found.standings[0].chosen[0] == tuned[2].params


def test_fewer_samples_are_part_of_more(compared, runner):
    found = compare_methods(compared("features", changes=["compare.sizes=[all, 5, 20]"]), "out", runner=runner)
    assert [standing.size for standing in found.standings] == [5, 20, "all"]
    jobs = {(len(job.split.train) + len(job.split.validation), job.seed): job.split for job in runner.jobs if job.split}
    few, more = ({*jobs[n, 0].train, *jobs[n, 0].validation} for n in (10, 40))
    assert few < more


def test_what_cannot_be_compared_is_refused(compared, runner, project):
    with pytest.raises(UsageError, match="one backbone"):
        compare_methods(compared("full", changes=["backbones=[a, b]"]), "out", runner=runner)
    with pytest.raises(UsageError, match="one label a sample"):
        compare_methods(compared("full", changes=["task=regression", "heads=[{kind: ridge}]"]), "out", runner=runner)
    (project / "taken").mkdir()
    (project / "taken" / "file").write_text("mine")
    with pytest.raises(UsageError, match="is not a comparison"):
        compare_methods(compared("full"), "taken", runner=runner)
    with pytest.raises(UsageError, match=r"config.yaml:\d+.*`trials: 2`"):
        compared("full", changes=["compare.learning_rates={full: [1e-4]}"])
    with pytest.raises(UsageError, match="did you mean `trials`"):
        compared("full", changes=["compare.trails=3"])


def test_nothing_is_fine_tuned_in_float16(compared):
    changes = ["backbones.0.precision=float16"]
    with pytest.raises(UsageError, match="cannot learn in float16"):
        compare_methods(compared("features", "full", changes=changes), "out")
