"""A comparison's charts for its page: SVG in the page's own colours."""

from typing import Any

from markupsafe import Markup, escape

from pipelines.compare.figure import point_of
from pipelines.report.charts import Axes, titled

_ROOM = 1.35


def accuracy_chart(rows: list[dict[str, Any]], methods: list[str]) -> Markup:
    """Draw accuracy with its interval against total time, and the front of methods that nothing beats in both."""
    points = [point_of(row) for row in rows]
    lows, highs = [low for *_, low, _ in points], [high for *_, high in points]
    margin = 0.06 * (max(highs) - min(lows) or 0.1)
    axes = Axes(
        "extraction, search and training, s", "accuracy",
        min(x for x, *_ in points) / _ROOM, max(x for x, *_ in points) * _ROOM,
        min(lows) - margin, max(highs) + margin, logarithmic=True,
    )  # fmt: skip
    front = sorted(point[:2] for point, row in zip(points, rows, strict=True) if row["on_front"])
    body = '<polyline class="rule" points="' + " ".join(f"{axes.across(x):.1f},{axes.up(y):.1f}" for x, y in front) + '"/>'
    for (x, y, low, high), row in zip(points, rows, strict=True):
        series, at = methods.index(row["method"]) % 6, f"{axes.across(x):.1f}"
        body += f'<line class="whisker s{series}" x1="{at}" x2="{at}" y1="{axes.up(low):.1f}" y2="{axes.up(high):.1f}"/>'
        told = escape(f"{row['title']}: {y:.4f} in {x:,.0f} s")
        body += f'<circle class="dot s{series}" cx="{at}" cy="{axes.up(y):.1f}" r="4"><title>{told}</title></circle>'
    frame = axes.frame(body, "accuracy against time")
    return titled("Accuracy against time", frame, [row["title"] for row in rows], "dotted: the Pareto front")


def samples_chart(standings: list[dict[str, Any]], methods: list[str]) -> Markup:
    """Draw every method's accuracy by how many labelled samples it had."""
    values = [row["test"]["accuracy"] for row in standings]
    labelled = [row["labelled"] for row in standings]
    margin = 0.04 * (max(value["high"] for value in values) - min(value["low"] for value in values) or 0.1)
    axes = Axes(
        "labelled samples", "accuracy", min(labelled) / 1.1, max(labelled) * 1.1,
        min(value["low"] for value in values) - margin, max(value["high"] for value in values) + margin, logarithmic=True,
    )  # fmt: skip
    body = ""
    for number, method in enumerate(methods):
        own = [(axes.across(row["labelled"]), row["test"]["accuracy"]) for row in standings if row["method"] == method]
        ends = [f"{x:.1f},{axes.up(v['low']):.1f}" for x, v in own] + [
            f"{x:.1f},{axes.up(v['high']):.1f}" for x, v in own[::-1]
        ]
        line = " ".join(f"{x:.1f},{axes.up(value['value']):.1f}" for x, value in own)
        body += f'<polygon class="area s{number % 6}" points="{" ".join(ends)}"/>'
        body += f'<polyline class="line s{number % 6}" points="{line}"/>'
        for x, value in own:
            body += f'<circle class="dot s{number % 6}" cx="{x:.1f}" cy="{axes.up(value["value"]):.1f}" r="3"/>'
    titles = {row["method"]: row["title"] for row in standings}
    return titled(
        "Accuracy by labelled samples", axes.frame(body, "accuracy by labelled samples"), [titles[m] for m in methods]
    )
