"""What commands show of what they did: an extraction, a run, an inspection, predictions, what is installed."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from extract.outcome import Truncation
from pipelines import console
from pipelines.combinations import shorten
from pipelines.tables import table

LEFT_TO_THE_REPORT = {f"{name}_{mean}" for name in ("precision", "recall") for mean in ("micro", "macro", "weighted")} | {
    "f1_micro"
}
"""Metrics of classes that follow from the others well enough; the report and `metrics.json` have them all."""

_LABELS_SHOWN = 3


def show_extraction(summary: dict[str, Any]) -> None:
    """Show what an extraction did."""
    rows = [
        (
            with_settings(r["backbone"], r["settings"]),
            f"{r['samples']:,}",
            f"{r['cached']:,}",
            f"{r['extracted']:,}",
            f"{r['skipped']:,}",
            console.seconds(r["seconds"]),
        )
        for r in summary["recipes"]
    ]
    console.out.print(table(("backbone", "samples", "in cache", "extracted", "skipped", "time"), rows, "Features", range(1, 6)))
    for r in summary["recipes"]:
        if r["truncated"]["samples"]:
            console.note(f"{r['backbone']}: {Truncation(**r['truncated'])}")
    show_skipped(summary["skipped"])


def with_settings(name: str, settings: str) -> str:
    """Name a backbone, with what tells it from others of that name."""
    return f"{name} ({settings})" if settings else name


def show_skipped(skipped: Sequence[dict[str, str]], most: int = 5) -> None:
    """List the first samples that could not be used."""
    for entry in skipped[:most]:
        console.note(f"skipped {entry['id']}: {entry['reason']}")
    if len(skipped) > most:
        console.note(
            f"skipped {len(skipped) - most:,} more; a run's skipped.jsonl, and `extract --skipped FILE`, list all of them"
        )


def show_run(metrics: dict[str, Any], result: Any) -> None:
    """Show a run: the best trials, the winner's test result, and where everything is."""
    metric, trials = metrics["metric"], [trial for trial in result.trials if trial.eligible]
    several = len(metrics["extract"]["recipes"]) > 1
    rows = [
        (
            rank,
            trial.head.rpartition(".")[2],
            describe(trial.params),
            *([with_settings(trial.backbone, trial.settings)] if several else []),
            shorten(trial.outputs),
            f"{trial.scores[metric].mean:.4f}",
            f"± {trial.scores[metric].deviation:.4f}",
        )
        for rank, trial in enumerate(trials[:5], 1)
    ]
    console.out.print(
        table(
            ("", "head", "parameters", *(["backbone"] if several else []), "output", metric, "folds"),
            rows,
            f"Best of {metrics['trials']:,} trials, by validation" if metrics["trials"] > 1 else "The one trial, by validation",
            (0, 5 if several else 4),
        )
    )
    left = LEFT_TO_THE_REPORT if metrics["task"] == "classification" else set()
    tested = [
        (name, Text(f"{e['value']:.4f}", "bold"), f"{e['low']:.4f} to {e['high']:.4f}")
        for name, e in metrics["test"].items()
        if name not in left
    ]
    _show_choice(metrics, 1 + trials.index(result.selected))
    samples = metrics["samples"]["test"]
    console.out.print(table(("metric", "value", "95% interval"), tested, f"The winner on {samples:,} test samples", (1,)))
    took = ", ".join(f"{name} {console.seconds(value)}" for name, value in metrics["seconds"].items())
    console.out.print(Text(f"time: {took}", "dim"))
    console.out.print(
        Text.assemble("run: ", (metrics["run"], "bold"), f"  (open {metrics['run']}/report.html)"), soft_wrap=True
    )


def _show_choice(metrics: dict[str, Any], rank: int) -> None:
    """Say what was chosen, where that is not simply the first trial, and how it stands to the runner-up."""
    chosen, compared = metrics["selected"], metrics.get("comparison")
    value = f"{metrics['metric']} {chosen['validation'][metrics['metric']]:.4f}"
    if chosen["head"] == "ensemble":
        shares = ", ".join(f"{member['weight']:.2f} {_told(member)}" for member in chosen["members"])
        console.out.print(Text(f"chosen: an ensemble of {len(chosen['members'])}, {value} by validation: {shares}"))
    elif rank > 1:
        told = f"{_told(chosen)}, {describe(chosen['params'])}, {value}"
        console.out.print(Text(f"chosen: number {rank}, the simplest within a standard error of the best: {told}"))
    if "nested" in metrics:
        values = ", ".join(
            f"{name} {score['mean']:.4f} ± {score['deviation']:.4f}" for name, score in metrics["nested"].items()
        )
        console.out.print(Text(f"choosing by validation is worth, by nested folds: {values}"))
    if compared is not None:
        test, other = compared["test"], compared["runner_up"]
        p = "" if compared["mcnemar"] is None else f", McNemar p = {compared['mcnemar']['p_exact']:.3g}"
        against = f"{other['head'].rpartition('.')[2]} on {shorten(other['output'].split('+'))}"
        what = "absolute error saved" if metrics["task"] == "regression" else "right answers"
        span = f"{test['mean']:+.4f} ({test['low']:+.4f} to {test['high']:+.4f}{p})"
        console.out.print(Text(f"{what} on test, against {against}: {span}"))
    if "prediction_sets" in metrics:
        held, size = metrics["prediction_sets"]["coverage"], metrics["prediction_sets"]["size"]
        sets, extent = ("intervals", "width") if metrics["task"] == "regression" else ("sets", "size")
        told = f"prediction {sets} hold the truth for {held['value']:.4f} of the test samples; mean {extent} {size:.2f}"
        console.out.print(Text(told))


def _told(chosen: dict[str, Any]) -> str:
    return f"{chosen['head'].rpartition('.')[2]} on {shorten(chosen['output'].split('+'))}"


def show_inspection(found: dict[str, Any], most: int = 5) -> None:
    """Show what an inspection found: how many of each kind, and the gravest of them."""
    from pipelines.quality import KINDS

    rows = [(KINDS[kind], f"{count:,}") for kind, count in found["counts"].items()]
    console.out.print(table(("what", "found"), rows, f"{found['samples']:,} samples", (1,)))
    for kind, count in found["counts"].items():
        shown = [issue for issue in found["issues"] if issue["kind"] == kind][:most]
        if shown:
            told = [(issue["id"], issue["split"], issue["label"], issue["reason"]) for issue in shown]
            title = f"{KINDS[kind]}, {len(shown)} of {count:,}"
            console.out.print(table(("sample", "split", "label", "why"), told, title, prose=(3,)))
    for line in found["notes"]:
        console.note(line)
    console.out.print(Text.assemble("all of them: ", (found["table"], "bold")), soft_wrap=True)


def describe(params: dict[str, Any]) -> str:
    """Put parameters in one line, and leave out those that are None, which is a setting not made."""
    told = {
        name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in params.items() if value is not None
    }
    return ", ".join(f"{name}={value}" for name, value in told.items())


def show_predictions(predictions: Sequence[dict[str, Any]]) -> None:
    """Show predictions, a line each: with how sure a class or labels are, or with the interval around a number."""
    answer, beside = "label", "probability"
    rows = []
    for prediction in predictions:
        given = prediction["input"]
        text = " ".join((" / ".join(given) if isinstance(given, tuple) else str(given)).split())
        label = prediction["label"]
        if isinstance(label, list):
            answer, beside = "labels", "probabilities"
        elif isinstance(label, float):
            answer, beside = "value", "interval"
        shown = Text(_answer(label), "bold") if label is not None else Text(f"none: {prediction.get('reason', '')}", "red")
        rows.append((shown, _certainty(prediction), text[:100] + ("…" if len(text) > 100 else "")))
    if any(certainty for _, certainty, _ in rows):
        console.out.print(table((answer, beside, "input"), rows, right=(1,) if beside == "probability" else (), prose=(2,)))
    else:
        console.out.print(table((answer, "input"), [(shown, text) for shown, _, text in rows], prose=(1,)))


def _answer(label: Any) -> str:
    if isinstance(label, list):
        return ", ".join(label) or "none"
    return f"{label:g}" if isinstance(label, float) else str(label)


def _certainty(prediction: Mapping[str, Any]) -> str:
    """Write how sure a prediction is: of several labels, of those given and of the likeliest others."""
    label, probabilities = prediction["label"], prediction["probabilities"]
    if isinstance(label, list) and probabilities:
        likeliest = sorted(probabilities, key=lambda name: -probabilities[name])
        return ", ".join(f"{name} {probabilities[name]:.2f}" for name in likeliest[: max(_LABELS_SHOWN, len(label))])
    if isinstance(label, str) and probabilities:
        return f"{probabilities[label]:.3f}"
    return "{:g} to {:g}".format(*prediction["interval"]) if "interval" in prediction else ""


def show_backbones(found: Sequence[Any], search: str | None) -> None:
    """Show backbones that can be asked for."""
    rows = [
        (
            entry.name,
            entry.takes,
            "" if entry.layers is None else entry.layers,
            "" if entry.width is None else f"{entry.width:,}",
            "" if entry.parameters is None else f"{entry.parameters:,} M",
            Text("yes", "green") if entry.here else "",
        )
        for entry in found
    ]
    console.out.print(table(("backbone", "takes", "layers", "width", "parameters", "here"), rows, right=(2, 3, 4)))
    if search is None:
        console.out.print(
            "`--search WORDS` looks among all of timm's and open_clip's; a folder or a hub name does as well: hf:NAME, st:NAME"
        )
    elif not found:
        console.out.print(f"no backbone known here has `{search}` in its name; one on the hub is written hf:NAME or st:NAME")


def _workers(count: int) -> str:
    if not count:
        return "a thread beside the forward pass, no worker process"
    return "1 worker process" if count == 1 else f"{count} worker processes"


def show_findings(found: dict[str, Any]) -> None:
    """Show what `doctor` found."""
    rows = [
        ("python", f"{found['python']} on {found['platform']}, {found['processors']} processors"),
        ("device", f"{found['device']}: {found['device_reason']}"),
        ("precision", f"{found['precision']}: {found['precision_reason']}"),
        ("batches", f"{found['batch']['tokens']:,} tokens or {found['batch']['images']:,} images"),
        ("decoding", _workers(found["workers"])),
        *((name, version or Text("not installed", "red")) for name, version in found["libraries"].items()),
        *(
            (f"backbone {b['name']}", "installed as a package" if b["installed"] else "from the hub")
            for b in found["backbones"]
        ),
        ("model hub", f"cache in {found['hub_cache']}{', offline' if found['hub_offline'] else ''}"),
        ("store", f"{found['store']['path']}: {found['store']['recipes']} recipes"),
    ]
    console.out.print(table(("what", "found"), rows, prose=(1,)))
    for problem in found["problems"]:
        console.fail(problem)
    if not found["problems"]:
        console.out.print("[green]nothing is missing[/green]")
