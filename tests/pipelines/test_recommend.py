import dataclasses

import numpy as np
import pytest

from extract import Samples, import_features
from heads import PairedDifference
from pipelines.config_file import load_config
from pipelines.errors import UsageError
from pipelines.extract import Extraction
from pipelines.recommend import gather, parse_duration
from pipelines.recommend_rule import Evidence, advise
from pipelines.task import make_task

NOTHING = PairedDifference(0.0, -0.01, 0.01, 1.0)
EASY = Evidence(5000, 4, 1200, ((500, 0.98), (4000, 0.985)), NOTHING, NOTHING, 1000, 100.0, "as given")
HARD = dataclasses.replace(EASY, curve=((500, 0.78), (4000, 0.8)))
DAY = 86400.0


def test_many_errors_and_time_enough_is_yes():
    advice = advise(HARD, DAY)
    assert advice.answer == "yes"
    assert advice.gain.low > 0.03


def test_hardly_any_errors_to_win_back_is_no():
    advice = advise(dataclasses.replace(EASY, curve=((500, 0.98), (4000, 0.99))), DAY)
    assert advice.answer == "no"
    assert advice.gain.high < 0.01


def test_in_between_it_cannot_tell():
    advice = advise(dataclasses.replace(EASY, curve=((500, 0.95), (4000, 0.97))), DAY)
    assert advice.answer == "cannot tell"
    assert advice.gain.low < 0.01 < advice.gain.high


def test_layers_that_reach_what_fine_tuning_would_leave_nothing_to_win():
    reached = PairedDifference(0.11, 0.1, 0.12, 0.001)
    assert advise(dataclasses.replace(HARD, curve=((500, 0.84), (4000, 0.85)), layers=reached), DAY).answer == "no"


def test_layers_that_are_ahead_speak_for_fine_tuning():
    ahead = PairedDifference(0.01, 0.005, 0.015, 0.001)
    plain, layered = advise(HARD, DAY), advise(dataclasses.replace(HARD, layers=ahead), DAY)
    assert layered.gain.low > plain.gain.low
    assert any("speaks for fine-tuning" in reason for reason in layered.reasons)


def test_a_budget_that_one_training_does_not_fit_is_no_and_one_that_it_may_not_fit_cannot_tell():
    one = advise(HARD, DAY).training
    assert one.low == pytest.approx(5000 / 100 * 3 * 3)
    assert one.high == pytest.approx(5000 / 100 * 7 * 10)
    assert advise(HARD, one.low * 0.9).answer == "no"
    assert advise(HARD, one.low * 1.1).answer == "cannot tell"
    assert advise(HARD, one.high * 1.1).answer == "yes"


def test_with_few_samples_a_class_it_cannot_tell():
    few = dataclasses.replace(HARD, samples=30, median_class=7)
    assert advise(few, DAY).answer == "cannot tell"


def test_a_steep_curve_makes_it_less_sure():
    steep = dataclasses.replace(HARD, doubling=PairedDifference(0.05, 0.03, 0.07, 0.001))
    assert advise(steep, DAY).gain.low < advise(HARD, DAY).gain.low


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5 h", 5400), ("45", 45), ("2 min", 120)])
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["soon", "-3m", "0s", "3 weeks", ""])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="is no time"):
        parse_duration(text)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def evidence_of(rng, tmp_path, project, signal):
    """What is gathered from features that tell two classes apart by a signal beside noise."""
    labels = rng.integers(2, size=400)
    features = rng.normal(size=(400, 6)).astype(np.float32)
    features[:, 0] += signal * (2 * labels - 1)
    splits = ["test" if number % 5 == 0 else "train" for number in range(400)]
    texts = [f"sample {number}" for number in range(400)]
    samples = Samples("made", texts, [str(n) for n in range(400)], [str(label) for label in labels], splits)
    _, found = import_features(samples, features, "made", tmp_path / "store")
    extraction = Extraction(samples, [found], 0.0)
    return gather(extraction, make_task(extraction, load_config(project / "config.yaml")), 0, 100.0, "as given")


def test_evidence_is_computed_from_the_features(rng, tmp_path, project):
    blurred, clear = (evidence_of(rng, tmp_path / str(signal), project, signal) for signal in (0.5, 3.0))
    assert clear.samples == 320
    assert clear.classes == 2
    assert clear.tested == 80
    assert clear.layers is None
    assert [size for size, _ in clear.curve] == [32, 64, 128, 256]
    assert clear.last > 0.99
    assert 0.55 < blurred.last < 0.8
    assert clear.doubling.high < 0.05
    assert advise(clear, DAY).answer == "no"
    assert advise(blurred, DAY).answer == "yes"


def test_from_the_command_line(headstart, project):
    text = (project / "config.yaml").read_text()
    (project / "config.yaml").write_text(text.split("heads:")[0])
    told = headstart.json("recommend", "config.yaml", "--budget", "1h")
    assert told["answer"] in ("yes", "no", "cannot tell")
    evidence = told["evidence"]
    assert evidence["samples"] == 96
    assert evidence["classes"] == 2
    assert evidence["median_class"] == 48
    assert [size for size, _ in evidence["curve"]] == sorted(size for size, _ in evidence["curve"])
    assert evidence["layers"] is not None
    assert evidence["speed"] > 0
    assert "samples/s" in told["reasons"][-1]
    assert headstart.json("recommend", "config.yaml", "--budget", "1s", "--speed", "0.001")["answer"] == "no"
    assert "is no time" in headstart("recommend", "config.yaml", "--budget", "soon", status=2).err
