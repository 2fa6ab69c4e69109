import re

import numpy as np
import pytest

from extract import Samples
from heads import Decision, Estimate, LinearHead
from pipelines.config import Config
from pipelines.outcome import Outcome
from pipelines.report import write_report
from pipelines.train import Member, Result
from pipelines.trials import Score, Trial

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\u202ereversed",
    "caf\udce9",
    "{{ 7 * 7 }}",
    "x" * 1_000_000,
]


@pytest.fixture
def report(tmp_path):
    """The report of a run whose every test sample is a hostile text, classified wrongly."""
    count = len(HOSTILE)
    config = Config.model_validate({"name": "hostile", "data": {"path": "x"}, "backbones": ["b"]})
    X, y = np.eye(count), np.array(["<b>a</b>", "b"] * (count // 2))
    trial = Trial("linear", {"C": 1.0}, "hf:<i>x</i>", "0" * 32, ("pooled",), 6, {"accuracy": Score(0.5, 0.1)}, {}, 0.1)
    nothing = Score(float("nan"), float("nan"))
    failed = Trial("linear", {"C": -1.0}, "hf:x", "0" * 32, ("pooled",), 6, {"accuracy": nothing}, {}, 0.1, "<u>why</u>")
    codes = np.arange(count) % 2
    outcome = Outcome(
        codes, 1 - codes, np.full((count, 2), 0.5), np.arange(count), {"accuracy": Estimate(0.0, 0.0, 0.0)}
    )  # fmt: skip
    result = Result(
        [trial, failed], trial, [Member(trial, LinearHead().fit(X, y), 1.0)], Decision(), ["<b>a</b>", "b"], outcome,
        {"accuracy": 0.5}, None, None, [], 1.0,
    )  # fmt: skip
    metrics = {
        "run": "r", "trials": 2, "notes": ["<s>note</s>"], "samples": {"development": 4, "test": count}, "test": {},
        "selected": {"head": "linear", "params": {"C": 1.0}, "output": "pooled", "backbone": "hf:<i>x</i>"},
        "extract": {"recipes": [], "skipped": [{"id": "<q>", "reason": "empty"}] * 7},
    }  # fmt: skip
    write_report(tmp_path, config, Samples.of(HOSTILE), result, metrics)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_hostile_texts_and_names_stay_text(report):
    for text in ("<script", "<img src=x", "<b>a", "<i>x", "<u>why", "<s>note", "<q>"):
        assert text not in report
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in report
    assert "{{ 7 * 7 }}" in report


def test_a_page_is_one_file_without_network_of_a_bounded_size(report):
    assert not re.search(r"(src|href)=.?(https?:)?//", report)
    assert report.count("data:image/png;base64,") == 2
    assert len(report) < 500_000
    assert "skipped 2 more" in report


def test_figures_are_kept_as_pictures(report, tmp_path):
    for name in ("confusion_matrix", "trials"):
        assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
