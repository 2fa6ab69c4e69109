"""Charts as SVG that takes its colours from the page, so that it is right in light, in dark and on paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 440, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 8, 34
_SERIES = 6


@dataclass(frozen=True)
class Axes:
    """What the sides of a chart stand for: names, and the values at their ends; x may run by its logarithm."""

    x: str
    y: str
    left: float
    right: float
    low: float
    high: float
    logarithmic: bool = False

    def across(self, value: float) -> float:
        """Return where a value of x is."""
        left, right, at = np.log([self.left, self.right, value]) if self.logarithmic else (self.left, self.right, value)
        return float(_LEFT + (at - left) / ((right - left) or 1) * (WIDTH - _LEFT - _RIGHT))

    def up(self, value: float) -> float:
        """Return where a value of y is."""
        return HEIGHT - _BOTTOM - (value - self.low) / ((self.high - self.low) or 1) * (HEIGHT - _TOP - _BOTTOM)

    def frame(self, body: str, title: str) -> Markup:
        """Put a body between axes with ticks."""
        parts = []
        for value in ticks(self.low, self.high):
            y = self.up(value)
            parts.append(f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{_LEFT - 7}" y="{y + 3.5:.1f}" text-anchor="end">{value:g}</text>')
        for value in powers(self.left, self.right) if self.logarithmic else ticks(self.left, self.right):
            parts.append(
                f'<text x="{self.across(value):.1f}" y="{HEIGHT - _BOTTOM + 15}" text-anchor="middle">{value:g}</text>'
            )
        middle = (WIDTH + _LEFT) / 2
        parts.append(f'<text x="{middle}" y="{HEIGHT - 2}" text-anchor="middle">{escape(self.x)}</text>')
        return Markup(  # noqa: S704  (numbers and escaped names)
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}">'
            f"{''.join(parts)}{body}</svg>"
        )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers between two, about so many."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    start, end = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [float(f"{number * step:.10g}") for number in range(start, end + 1)]


def powers(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between two; over several powers those of ten alone."""
    steps = (1, 2, 5) if high / low < 300 else (1,)
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [value for e in exponents for step in steps if low <= (value := float(f"{step}e{e}")) <= high]


def titled(title: str, chart: Markup, keys: Sequence[str] = (), y: str = "") -> Markup:
    """Put a title and a key of colours over a chart."""
    shown = [Markup('<span class="s{}"><i></i><bdi>{}</bdi></span>').format(number, name) for number, name in enumerate(keys)]
    side = Markup(' <span class="dim" style="font-weight:400">{}</span>').format(y) if y else ""
    key = Markup('<div class="keys">{}</div>').format(Markup("").join(shown)) if shown else Markup("")
    return Markup("<h3>{}{}</h3>{}{}").format(title, side, key, chart)


def line_chart(
    title: str, x: str, y: str, series: dict[str, Sequence[float]], mark: float | None = None, first: float = 1
) -> Markup:
    """Draw values against 1, 2, 3, ...; `mark` draws a line across at a value of x."""
    values = np.concatenate([np.asarray(part, float) for part in series.values()])
    values = values[np.isfinite(values)]
    longest = max(len(part) for part in series.values())
    axes = Axes(
        x, y, first, first + max(longest - 1, 1), min(0.0, float(values.min(initial=0))), float(values.max(initial=1e-9))
    )
    body = ""
    for number, part in enumerate(series.values()):
        points = " ".join(f"{axes.across(first + at):.1f},{axes.up(v):.1f}" for at, v in enumerate(part) if np.isfinite(v))
        body += f'<polyline class="line s{number % _SERIES}" points="{points}"/>'
    if mark is not None:
        at_mark = f"{axes.across(mark):.1f}"
        body += f'<line class="rule" x1="{at_mark}" x2="{at_mark}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
    return titled(title, axes.frame(body, title), list(series), y)


def calibration_chart(curve: dict[str, Any]) -> Markup:
    """Draw a calibration curve with its intervals, and how many answers each bin holds below it."""
    axes = Axes("probability of the answer", "share right", 0, 1, 0, 1)
    most = max(curve["samples"])
    body = f'<polyline class="rule" points="{axes.across(0)},{axes.up(0)} {axes.across(1)},{axes.up(1)}"/>'
    for sure, samples in zip(curve["confidence"], curve["samples"], strict=True):
        reach = 46 * samples / most
        body += (
            f'<rect class="s0" style="fill:var(--s);fill-opacity:.14" x="{axes.across(sure) - 5:.1f}" '
            f'y="{axes.up(0) - reach:.1f}" width="10" height="{reach:.1f}"><title>{samples:,} answers</title></rect>'
        )
    points = []
    for sure, share, low, high in zip(*(curve[part] for part in ("confidence", "accuracy", "low", "high")), strict=True):
        x = axes.across(sure)
        points.append(f"{x:.1f},{axes.up(share):.1f}")
        body += f'<line class="whisker s0" x1="{x:.1f}" x2="{x:.1f}" y1="{axes.up(low):.1f}" y2="{axes.up(high):.1f}"/>'
        body += (
            f'<circle class="dot s0" cx="{x:.1f}" cy="{axes.up(share):.1f}" r="3.2">'
            f"<title>{sure:.3f} sure, {share:.3f} right</title></circle>"
        )
    body += f'<polyline class="line s0" points="{" ".join(points)}"/>'
    return titled("Share right by probability", axes.frame(body, "calibration curve"), y="bars: how many answers")


def histogram_chart(title: str, x: str, parts: dict[str, np.ndarray], bins: int = 40) -> Markup:
    """Draw how numbers are spread in each of some parts, each as a share of its own."""
    together = np.concatenate([np.asarray(part, float) for part in parts.values()])
    low, high = (float(end) for end in np.quantile(together, [0.002, 0.998])) if len(together) else (0.0, 1.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    shares = {name: np.histogram(np.clip(part, low, high), edges)[0] / max(len(part), 1) for name, part in parts.items()}
    axes = Axes(x, "share", low, high, 0, max(float(share.max(initial=0)) for share in shares.values()) * 1.05 or 1)
    body = ""
    for number, share in enumerate(shares.values()):
        steps = []
        for left, right, value in zip(edges[:-1], edges[1:], share, strict=True):
            y = axes.up(float(value))
            steps += [f"{axes.across(float(left)):.1f},{y:.1f}", f"{axes.across(float(right)):.1f},{y:.1f}"]
        base = f"{axes.across(high):.1f},{axes.up(0):.1f} {axes.across(low):.1f},{axes.up(0):.1f}"
        body += f'<polygon class="area s{number % _SERIES}" points="{" ".join(steps)} {base}"/>'
        body += f'<polyline class="line s{number % _SERIES}" points="{" ".join(steps)}"/>'
    return titled(title, axes.frame(body, title), list(parts), "share of each")


def trials_chart(trials: Sequence[dict[str, Any]], metric: str) -> Markup:
    """Draw every trial's score with its spread over the folds, best first, coloured by head."""
    held = [trial for trial in trials if trial["score"] is not None and np.isfinite(trial["score"])]
    heads = list(dict.fromkeys(trial["head"] for trial in held))[:_SERIES]
    lows = [trial["score"] - trial["deviation"] for trial in held]
    highs = [trial["score"] + trial["deviation"] for trial in held]
    low, high = float(np.quantile(lows, 0.1)), max(highs)
    axes = Axes("trial, by rank", metric, 0.5, len(held) + 0.5, low - (high - low) * 0.1, high)
    body = ""
    for trial, worst, best in zip(held, lows, highs, strict=True):
        series = heads.index(trial["head"]) if trial["head"] in heads else _SERIES - 1
        x, y = axes.across(trial["rank"]), axes.up(max(trial["score"], axes.low))
        ends = axes.up(max(worst, axes.low)), axes.up(max(best, axes.low))
        body += f'<line class="whisker s{series}" x1="{x:.1f}" x2="{x:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"/>'
        told = escape(f"{trial['head']}: {trial['score']:.4f}")
        body += f'<circle class="dot s{series}" cx="{x:.1f}" cy="{y:.1f}" r="2.8"><title>{told}</title></circle>'
    return titled("", axes.frame(body, "score of every trial"), heads)


def scatter_chart(true: np.ndarray, predicted: np.ndarray, most: int = 3000) -> Markup:
    """Draw predicted against true numbers."""
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    axes = Axes("true", "predicted", low, high, low, high)
    body = f'<polyline class="rule" points="{axes.across(low)},{axes.up(low)} {axes.across(high)},{axes.up(high)}"/>'
    chosen = np.random.default_rng(0).permutation(len(true))[:most]
    for x, y in zip(true[chosen].tolist(), predicted[chosen].tolist(), strict=True):
        body += f'<circle class="dot s0" fill-opacity=".45" cx="{axes.across(x):.1f}" cy="{axes.up(y):.1f}" r="2.2"/>'
    return titled("Predicted against true", axes.frame(body, "predicted against true numbers"))
