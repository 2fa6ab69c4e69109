"""What `rank`, `runs`, `evaluate` and `init` show a person; see `console` for the rest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from pipelines.combinations import shorten
from pipelines.console import note, out, seconds
from pipelines.runs import RunEntry
from pipelines.summaries import show_skipped, with_settings
from pipelines.tables import table, table_of_names

_HEADINGS = ("run", "head", "features", "validation", "test")
ESTIMATES = {"logme": "LogME", "h_score": "H-score", "knn": "k-NN"}


def show_ranking(ranking: Mapping[str, Any]) -> None:
    """Show outputs with the best first, and how well the estimates agree with trained heads."""
    candidates = ranking["candidates"]
    trained = any(candidate["trained"] is not None for candidate in candidates)
    numbers = {
        "width": [f"{candidate['width']:,}" for candidate in candidates],
        **{title: [_number(candidate[name]) for candidate in candidates] for name, title in ESTIMATES.items()},
        **({ranking["metric"]: [_number(candidate["trained"]) for candidate in candidates]} if trained else {}),
    }
    columns = {
        "": range(1, 1 + len(candidates)),
        "backbone": [with_settings(candidate["backbone"], candidate["settings"]) for candidate in candidates],
        "output": [candidate["output"] for candidate in candidates],
        **numbers,
    }
    title = f"Estimated on {ranking['samples']:,} samples in {seconds(ranking['seconds'])}, by LogME"
    out.print(table_of_names(columns, title, ("", *numbers), "backbone", ("width", ESTIMATES["h_score"])))
    for name, agreement in ranking["agreement"].items():
        told = f"Kendall's tau {agreement['tau']:+.2f} (p = {agreement['p']:.2g})"
        out.print(f"{ESTIMATES[name]} against trained heads on {agreement['outputs']} outputs: {told}")
    for line in ranking["notes"]:
        note(line)
    if not trained and not ranking["notes"]:
        note("--check trains linear heads as well, and --run RUN looks at a run's trials, to say how far to trust this")


def show_runs(found: Sequence[RunEntry], folder: Path) -> None:
    """List runs, newest first."""
    if found:
        out.print(table(_HEADINGS, [_line(entry) for entry in found], f"Runs in {folder}, newest first", (3, 4)))
    else:
        out.print(f"no runs in {folder}; `headstart train` makes one")


def show_run_comparison(compared: Mapping[str, Any]) -> None:
    """Show runs, and each against the first."""
    entries = [RunEntry(**entry) for entry in compared["runs"]]
    out.print(table(_HEADINGS, [_line(entry) for entry in entries], "Runs", (3, 4)))
    shared = [name for name in entries[0].test if all(name in entry.test for entry in entries)]
    values = [(name, *(f"{entry.test[name]['value']:.4f}" for entry in entries)) for name in shared]
    out.print(table(("metric", *(Path(entry.run).name for entry in entries)), values, "On test", range(1, 1 + len(entries))))
    for pair in compared["pairs"]:
        difference, tested = pair["difference"], pair["mcnemar"]
        what = "errors avoided" if tested is None else "right answers"
        p = f"p = {difference['p']:.3g}" if tested is None else f"McNemar p = {tested['p_exact']:.3g}"
        span = f"{difference['low']:+.4f} to {difference['high']:+.4f}"
        out.print(
            f"{Path(pair['run']).name} against {Path(pair['against']).name}, {pair['samples']:,} samples in common: "
            f"{what} {difference['mean']:+.4f} ({span}, {p})",
            soft_wrap=True,
        )


def show_evaluation(evaluation: Mapping[str, Any]) -> None:
    """Show metrics with their intervals."""
    rows = [
        (name, Text(f"{e['value']:.4f}", "bold"), f"{e['low']:.4f} to {e['high']:.4f}")
        for name, e in evaluation["test"].items()
    ]
    out.print(table(("metric", "value", "95% interval"), rows, f"On {evaluation['samples']:,} samples", (1,)))
    for line in evaluation["notes"]:
        note(line)
    show_skipped(evaluation["skipped"])


def show_advice(found: Mapping[str, Any]) -> None:
    """Show whether fine-tuning is likely to pay, and why."""
    colour = {"yes": "green", "no": "red"}.get(found["answer"], "yellow")
    out.print(Text.assemble("is fine-tuning likely to pay for itself? ", (found["answer"], f"bold {colour}")))
    for reason in found["reasons"]:
        out.print(Text(f"- {reason}"), soft_wrap=True)
    if found["answer"] != "no":
        out.print(Text("`headstart compare` measures it; the rule's record is in docs/comparison.md", "dim"), soft_wrap=True)


def show_unfreezing(metrics: Mapping[str, Any]) -> None:
    """Show what each phase of an unfreezing gave, and the test of what was kept."""
    told = metrics["unfreeze"]
    metric = told["metric"]
    rows = [
        (
            phase["phase"],
            phase["epochs"],
            f"{phase['learning']:,}",
            f"{phase['validation_loss']:.4f}",
            Text(f"{phase[f'validation_{metric}']:.4f}", "bold" if phase["phase"] == told["kept_phase"] else ""),
            seconds(phase["seconds"]),
        )
        for phase in told["phases"]
    ]
    headings = ("phase", "epochs", "backbone's numbers that learn", "validation loss", metric, "time")
    out.print(table(headings, rows, f"{told['backbone']}, phase by phase", tuple(range(len(headings)))))
    tested = [
        (name, Text(f"{e['value']:.4f}", "bold"), f"{e['low']:.4f} to {e['high']:.4f}") for name, e in metrics["test"].items()
    ]
    out.print(table(("metric", "value", "95% interval"), tested, f"On {metrics['samples']['test']:,} test samples", (1,)))
    out.print(
        Text.assemble("run: ", (metrics["run"], "bold"), f"  (tuned backbone: {metrics['run']}/backbone)"), soft_wrap=True
    )


def show_config(written: Mapping[str, Any]) -> None:
    """Say what `init` took the data for."""
    columns = ", ".join(f"{role} `{column}`" for role, column in written["columns"].items())
    first = "the first " if written["streams"] else ""
    out.print(f"{first}{written['samples']:,} samples of {written['takes']}{': ' if columns else ''}{columns}", soft_wrap=True)
    if written["classes"]:
        out.print(f"{written['task']}, {written['classes']:,} different labels")
    then = f"then: headstart train {written['config']}"
    if not written["classes"]:
        then = "no label was found, which training needs: name its column as `data.label` there"
    elif written["classes"] == 1:
        then = "all samples found have the same label: training needs two"
    out.print(Text.assemble("config: ", (written["config"], "bold"), f"  ({then})"), soft_wrap=True)


def _line(entry: RunEntry) -> tuple[str, ...]:
    tested = next(iter(entry.test.values()), None)
    return (
        Path(entry.run).name,
        entry.head.rpartition(".")[2],
        f"{with_settings(entry.backbone.rpartition(':')[2], entry.settings)} {shorten(tuple(entry.output.split('+')))}",
        "" if entry.validation is None else f"{entry.validation:.3f}",
        "" if tested is None else f"{tested['value']:.3f} [{tested['low']:.3f}, {tested['high']:.3f}]",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
