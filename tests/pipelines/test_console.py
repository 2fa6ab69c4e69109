import io
import math
import re

import pytest
from rich.console import Console

from pipelines import console, summaries, tables
from pipelines.bars import Bars


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


@pytest.mark.parametrize(
    ("prediction", "headings", "told"),
    [
        ({"label": "good", "probabilities": {"bad": 0.1, "good": 0.9}}, ["label", "probability"], ["good", "0.900"]),
        ({"label": 2.5, "probabilities": None}, ["value"], ["2.5"]),
        ({"label": 2.5, "probabilities": None, "interval": [2.0, 3.25]}, ["value", "interval"], ["2.5", "2 to 3.25"]),
        (
            {"label": ["movie"], "probabilities": {"pos": 0.25, "movie": 0.91, "short": 0.1, "old": 0.0}},
            ["labels", "probabilities"],
            ["movie", "movie 0.91, pos 0.25, short 0.10"],
        ),
        ({"label": ["movie"], "probabilities": None}, ["labels"], ["movie"]),
    ],
)
def test_predictions_have_the_columns_of_their_kind(monkeypatch, prediction, headings, told):
    seen = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=seen, width=160, color_system=None))
    summaries.show_predictions([{"input": "a film", **prediction}, {"input": "", "label": None, "probabilities": None}])
    lines = [re.split(" {2,}", line.strip()) for line in seen.getvalue().splitlines()]
    assert [*headings, "input"] in lines
    assert [*told, "a film"] in lines


def test_a_pipe_gets_every_name_whole_unless_it_says_how_wide_it_is(monkeypatch, capsys):
    name = "runs/" + "long-" * 40
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(console, "out", console._Output(highlight=False))
    console.out.print(tables.table(("run", "accuracy"), [(name, "0.9")]))
    assert name in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "60")
    console.out.print(tables.table(("run", "accuracy"), [(name, "0.9")]))
    assert all(len(line) <= 60 for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("width", [120, 100, 80])
def test_names_and_numbers_in_tables_are_not_broken(monkeypatch, width):
    seen = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=seen, width=width, color_system=None))
    row = ("distilbert-base-uncased-finetuned", "r2-20261126-165056", "layer0.mean and 12 more", "22,566,146", "0.8 [0.7, 0.9]")
    console.out.print(tables.table(("backbone", "run", "output", "learns", "extraction interval"), [row], right=(3,)))
    words = {word for line in seen.getvalue().splitlines() for word in line.split()}
    assert {"r2-20261126-165056", "layer0.mean", "22,566,146", "extraction", "[0.7,"} <= words
    assert width < 100 or row[0] in words
    assert any(word.startswith("distil") and word.endswith("tuned") for word in words)
    assert max(map(len, seen.getvalue().splitlines())) <= width


def test_intervals_are_whole_at_80_columns(monkeypatch):
    seen = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=seen, width=80, color_system=None))
    row = ("cjk-20261127-101500", "linear", "tf_efficientnet_lite0 pooled", "1.000", "1.000 [0.722, 1.000]")
    console.out.print(tables.table(("run", "head", "features", "validation", "test"), [row], right=(3, 4)))
    assert "1.000 [0.722, 1.000]" in seen.getvalue()


def test_words_of_prose_go_on_on_the_next_line(monkeypatch):
    seen = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=seen, width=40, color_system=None))
    console.out.print(tables.table(("field", "value"), [("weights", "a" * 80)], prose=(1,)))
    assert seen.getvalue().count("a") == 80 + 1  # and the heading's


def test_without_failures_none_are_told(screen):
    bars = Bars()
    bars.start_trials(1)
    bars.advance_trial(0.5, False)
    bars.finish()
    assert "failed" not in screen.getvalue()
