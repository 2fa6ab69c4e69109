import xml.etree.ElementTree as ET

import numpy as np
import pytest

from pipelines.report.charts import (
    calibration_chart,
    histogram_chart,
    line_chart,
    scatter_chart,
    ticks,
    trials_chart,
)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (3, 3, [3]), (-0.03, 0.02, [-0.03, -0.02, -0.01, 0, 0.01, 0.02])],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_charts_are_well_formed_and_hold_names_as_text():
    trial = {"rank": 1, "head": "<h>", "score": 0.5, "deviation": 0.1}
    curve = {"confidence": [0.6, 0.9], "accuracy": [0.5, 1.0], "low": [0.4, 0.9], "high": [0.6, 1.0], "samples": [10, 5]}
    charts = [
        line_chart("<t>", "x", "y", {"<s>": [0.5, float("nan"), 0.2]}, mark=2),
        calibration_chart(curve),
        histogram_chart("t", "x", {"a": np.zeros(5), "<b>": np.zeros(0)}),
        scatter_chart(np.ones(3), np.arange(3.0)),
        trials_chart([trial, trial | {"rank": 2, "score": float("nan")}], "accuracy"),
    ]
    for chart in charts:
        ET.fromstring(f"<div>{chart}</div>")
        assert "nan" not in chart
    assert "&lt;t&gt;" in charts[0]
    assert "&lt;s&gt;" in charts[0]
