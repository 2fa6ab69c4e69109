"""Pictures of a comparison: accuracy against time with the Pareto front, and accuracy by the number of samples."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.feature_figures import save_figure


def write_figures(folder: Path, found: dict[str, Any]) -> None:
    """Write `accuracy_time.png`, and `samples.png` where several sizes were compared."""
    folder.mkdir(parents=True, exist_ok=True)
    save_figure(draw_accuracy_against_time(found), folder / "accuracy_time.png")
    if len(sizes_of(found)) > 1:
        save_figure(draw_curves(found), folder / "samples.png")


def draw_accuracy_against_time(found: dict[str, Any]) -> Figure:
    """Draw every method at `shown_size`: accuracy with its interval against total time, and the front of the best."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes: Axes = figure.subplots()
    rows = rows_of(found, shown_size(found))
    for number, row in enumerate(rows):
        x, y, low, high = point_of(row)
        axes.errorbar(x, y, yerr=[[y - low], [high - y]], fmt="o", color=f"C{number}", capsize=3)
        axes.annotate(row["title"], (x, y), (6, 5), textcoords="offset points", fontsize=8)
    front = sorted(point_of(row)[:2] for row in rows if row["on_front"])
    axes.plot(*zip(*front, strict=True), color="grey", linestyle=":", zorder=0)
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.15)
    axes.set_xlabel("extraction, search and training, s")
    axes.set_ylabel("test accuracy, 95% interval")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_curves(found: dict[str, Any]) -> Figure:
    """Draw every method's accuracy by labelled samples."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes: Axes = figure.subplots()
    for number, method in enumerate(dict.fromkeys(row["method"] for row in found["standings"])):
        rows = [row for row in found["standings"] if row["method"] == method]
        x = [row["labelled"] for row in rows]
        values = [row["test"]["accuracy"] for row in rows]
        axes.plot(x, [value["value"] for value in values], "o-", color=f"C{number}", label=rows[0]["title"])
        axes.fill_between(
            x, [value["low"] for value in values], [value["high"] for value in values], color=f"C{number}", alpha=0.1
        )
    axes.set_xscale("log")
    axes.set_xlabel("labelled samples")
    axes.set_ylabel("test accuracy, 95% interval")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def sizes_of(found: dict[str, Any]) -> list[Any]:
    """Return the sizes that were compared, the smallest first."""
    return list(dict.fromkeys(row["size"] for row in found["standings"]))


def shown_size(found: dict[str, Any]) -> Any:
    """Return the size that is drawn: the largest among those at which most methods were tried."""
    return max(reversed(sizes_of(found)), key=lambda size: len(rows_of(found, size)))


def rows_of(found: dict[str, Any], size: Any) -> list[dict[str, Any]]:
    """Return the standings of a size."""
    return [row for row in found["standings"] if row["size"] == size]


def point_of(row: dict[str, Any]) -> tuple[float, float, float, float]:
    """Return where a standing is: total seconds, and accuracy with the ends of its interval."""
    accuracy = row["test"]["accuracy"]
    return row["costs"]["seconds"]["total"], accuracy["value"], accuracy["low"], accuracy["high"]
