import io
import math

import pytest
from rich.console import Console

from pipelines import console
from pipelines.console import Bars


@pytest.fixture
def screen(monkeypatch):
    """What a person sees on standard error."""
    seen = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=seen, force_terminal=True, width=160, color_system=None))
    return seen


def test_the_bar_of_a_sweep_shows_the_best_so_far_and_how_many_failed(screen):
    bars = Bars()
    bars.start_trials(4)
    for score, failed in ((math.nan, True), (0.5, False), (0.75, False), (0.25, False)):
        bars.advance_trial(score, failed)
    bars.finish()
    last = [line for line in screen.getvalue().splitlines() if "trying heads" in line][-1]
    assert "4/4" in last
    assert "1 failed best 0.7500" in last


def test_without_failures_none_are_told(screen):
    bars = Bars()
    bars.start_trials(1)
    bars.advance_trial(0.5, False)
    bars.finish()
    assert "failed" not in screen.getvalue()
