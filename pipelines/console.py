"""What a person sees in the terminal: progress bars on standard error, results as tables on standard output."""

import json
import math
import os
import re
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from extract.outcome import Truncation
from pipelines.combinations import shorten

_ANY_WIDTH = 10_000


class _Output(Console):
    """As wide as the terminal is; a pipe or file gets every name whole, unless COLUMNS says how wide it is."""

    @property  # type: ignore[misc]  # nobody sets it
    def size(self) -> ConsoleDimensions:
        """Columns and lines."""
        found = super().size
        if self._width is not None or self.is_terminal or "COLUMNS" in os.environ:
            return found
        return ConsoleDimensions(_ANY_WIDTH, found.height)


out: Console = _Output(soft_wrap=False, highlight=False)
err = Console(stderr=True, highlight=False)

LEFT_TO_THE_REPORT = {f"{name}_{mean}" for name in ("precision", "recall") for mean in ("micro", "macro", "weighted")} | {
    "f1_micro"
}
"""Metrics of classes that follow from the others well enough; the report and `metrics.json` have them all."""

_SHORTEST_NAME = 16
_LABELS_SHOWN = 3


class Bars:
    """Progress bars for extraction and for trials.

    Parameters
    ----------
    quiet
        Show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._progress: Progress | None = None
        self._told = False

    def start(self, title: str, cached: int, missing: int) -> None:
        """Begin an extraction: say what was found, and show a bar for what was not."""
        self._begin(
            missing,
            f"{cached:,} found in cache, {missing:,} to extract with {title}",
            TextColumn("[bold]extracting"),
            "samples/s",
        )

    def start_stream(self, title: str) -> None:
        """Begin an extraction of which nobody knows how long it is."""
        self._cached = self._samples = 0
        self._began = time.monotonic()
        if self.quiet:
            return
        self._progress = Progress(
            SpinnerColumn(), TextColumn(f"[bold]extracting[/bold] with {title}"), TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(), console=err,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None, told="")
        self._progress.start()

    def advance_stream(self, cached: int, extracted: int) -> None:
        """Tell of so many more samples that were in the store, and so many that ran through a backbone."""
        self._cached += cached
        self._samples += extracted
        if self._progress is not None:
            told = f"{self._cached:,} found in cache, {self._samples:,} extracted, {self._rate():,.0f} samples/s"
            self._progress.update(self._task, told=told)

    def start_trials(self, trials: int) -> None:
        """Begin a sweep."""
        self._best, self._failed = math.nan, 0
        self._begin(trials, None, TextColumn("[bold]trying heads"), "trials/s")

    def advance(self, samples: int, share: float) -> None:
        """Move on by so many samples; the bar and the time left follow the share of the work, since samples differ."""
        if self._progress is not None:
            self._samples += samples
            speed = f"{self._rate():,.0f}"
            self._progress.update(self._task, completed=share * self._total, count=f"{self._samples:,}", speed=speed)

    def advance_trial(self, score: float, failed: bool) -> None:
        """Move the bar on by one trial with this score, or that failed."""
        if failed:
            self._failed += 1
        elif not score <= self._best:  # also where none was before
            self._best = score
        if self._progress is not None:
            self._samples += 1
            count = f"{self._samples:,}"
            told = f"[red]{self._failed:,} failed[/red] " if self._failed else ""
            speed = f"{self._rate():,.1f}"
            self._progress.update(self._task, advance=1, count=count, speed=speed, best=self._best, failed=told)

    def wait(self, samples: int) -> None:
        """Say, once, that another process is at work on the rest."""
        if not self._told and not self.quiet:
            self._told = True
            err.print(Text(f"waiting for another process that is extracting {samples:,} of these samples", "dim"))

    def finish(self) -> None:
        """Leave the bar as it is."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _rate(self) -> float:
        """Return how many a second since the beginning; the last few alone say little where many end at once."""
        return self._samples / max(time.monotonic() - self._began, 1e-6)

    def _begin(self, total: int, headline: str | None, title: TextColumn, unit: str) -> None:
        if self.quiet:
            return
        if headline is not None:
            err.print(Text(headline, "dim"))
        if not total:
            return
        best = [TextColumn("{task.fields[failed]}best {task.fields[best]:.4f}")] if unit == "trials/s" else []
        self._progress = Progress(
            SpinnerColumn(), title, BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[count]}/{task.total:,.0f}"),
            TextColumn(f"{{task.fields[speed]}} {unit}"), *best, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=err, speed_estimate_period=30,
        )  # fmt: skip
        self._samples, self._total, self._began = 0, total, time.monotonic()
        self._task = self._progress.add_task("", total=total, count="0", speed="-", best=math.nan, failed="")
        self._progress.start()


def print_json(content: Any) -> None:
    """Print exactly one JSON object; with escapes where it holds what is not Unicode."""
    text = json.dumps(content, ensure_ascii=False, default=str)
    if any("\ud800" <= character <= "\udfff" for character in text):
        text = json.dumps(content, default=str)
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Tell something that the user should know."""
    err.print(Text("note: ", "yellow") + Text(text))


def fail(text: str) -> None:
    """Tell an error, in one line."""
    err.print(Text("error: ", "bold red") + Text(" ".join(text.split())), soft_wrap=True)


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[Any]],
    title: str | None = None,
    right: Sequence[int] = (),
    prose: Sequence[int] = (),
) -> Table:
    """Lay out rows under headings; the columns numbered in `right` are aligned to the right.

    In a terminal that is too narrow cells go on on the next line between words. If that is not enough, long words are cut in
    the middle, but for those of the columns in `prose`, which go on on the next line, too.
    """
    cells = [[cell if isinstance(cell, Text) else Text(str(cell)) for cell in row] for row in rows]
    laid = _lay_out(headings, cells, title, right)
    if (beyond := _beyond(laid)) <= 0:
        return laid
    columns = [[heading, *(row[number].plain for row in cells)] for number, heading in enumerate(headings)]
    widths = _fit(columns, beyond, prose)
    fitted = [
        [cell if number in prose else _cut_words(cell, widths[number]) for number, cell in enumerate(row)] for row in cells
    ]
    return _lay_out(headings, fitted, title, right, widths)


def table_of_names(
    columns: Mapping[str, Sequence[Any]], title: str, right: Collection[str], name: str, spare: Sequence[str]
) -> Table:
    """Lay out columns, heading by heading, so that the names in one of them stay legible, each on a line of its own.

    In a terminal that is too narrow, the columns in `spare` are left out, the first one first, as far as need be; then names
    are cut in the middle.
    """
    kept = dict(columns)
    left_out = iter(spare)
    while (beyond := _beyond(_with_names(kept, title, right, name))) > 0 and (least := next(left_out, None)) is not None:
        del kept[least]
    if beyond > 0:
        most = max(_SHORTEST_NAME, max(map(len, kept[name])) - beyond)
        kept[name] = [_cut(cell, most) for cell in kept[name]]
    return _with_names(kept, title, right, name)


def _with_names(columns: Mapping[str, Sequence[Any]], title: str, right: Collection[str], name: str) -> Table:
    headings = list(columns)
    places = [number for number, heading in enumerate(headings) if heading in right]
    rows = [[Text(str(cell)) for cell in row] for row in zip(*columns.values(), strict=True)]
    return _lay_out(headings, rows, title, places, whole=headings.index(name))


def _lay_out(
    headings: Sequence[str],
    rows: Sequence[Sequence[Text]],
    title: str | None,
    right: Collection[int],
    widths: Sequence[int] | None = None,
    whole: int | None = None,
) -> Table:
    """Return a table with columns as wide as that, or as need be; the column `whole` is never broken."""
    laid = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for number, heading in enumerate(headings):
        side: Literal["left", "right"] = "right" if number in right else "left"
        width = None if widths is None else widths[number]
        laid.add_column(heading, justify=side, overflow="fold", no_wrap=number == whole, width=width)
    for row in rows:
        laid.add_row(*row)
    return laid


def _beyond(laid: Table) -> int:
    """Return how much wider than the terminal a table would be if nothing in it were broken."""
    return Measurement.get(out, out.options.update(max_width=_ANY_WIDTH), laid).maximum - out.width


def _fit(columns: Sequence[Sequence[str]], beyond: int, prose: Collection[int]) -> list[int]:
    """Return how wide columns are to be, together so much less than they would be: first without words broken, then with."""
    widths = [max(cell_len(line) for cell in column for line in cell.splitlines() or [""]) for column in columns]
    words = [max((cell_len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    unbroken = [min(word, _SHORTEST_NAME) if number in prose else word for number, word in enumerate(words)]
    for least in (unbroken, [_SHORTEST_NAME] * len(columns)):
        while beyond > 0 and (wider := [number for number, width in enumerate(widths) if width > least[number]]):
            widths[max(wider, key=lambda number: widths[number])] -= 1
            beyond -= 1
    return widths


def _cut_words(cell: Text, most: int) -> Text:
    """Leave out the middle of words that are longer than that."""
    return Text(re.sub(r"\S+", lambda word: _cut(word[0], most), cell.plain), cell.style)


def _cut(text: str, most: int) -> str:
    """Leave out the middle of a text that is longer than that."""
    end = (most - 1) // 2
    return text if len(text) <= most else f"{text[: most - 1 - end]}…{text[-end:]}"


def show_extraction(summary: dict[str, Any]) -> None:
    """Show what an extraction did."""
    rows = [
        (
            with_settings(r["backbone"], r["settings"]),
            f"{r['samples']:,}",
            f"{r['cached']:,}",
            f"{r['extracted']:,}",
            f"{r['skipped']:,}",
            seconds(r["seconds"]),
        )
        for r in summary["recipes"]
    ]
    out.print(table(("backbone", "samples", "in cache", "extracted", "skipped", "time"), rows, "Features", range(1, 6)))
    for r in summary["recipes"]:
        if r["truncated"]["samples"]:
            note(f"{r['backbone']}: {Truncation(**r['truncated'])}")
    show_skipped(summary["skipped"])


def with_settings(name: str, settings: str) -> str:
    """Name a backbone, with what tells it from others of that name."""
    return f"{name} ({settings})" if settings else name


def show_skipped(skipped: Sequence[dict[str, str]], most: int = 5) -> None:
    """List the first samples that could not be used."""
    for entry in skipped[:most]:
        note(f"skipped {entry['id']}: {entry['reason']}")
    if len(skipped) > most:
        note(f"skipped {len(skipped) - most:,} more; a run's skipped.jsonl, and `extract --skipped FILE`, list all of them")


def show_run(metrics: dict[str, Any], trials: Sequence[Any], metric: str) -> None:
    """Show a run: the best trials, the winner's test result, and where everything is."""
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
        for rank, trial in enumerate([trial for trial in trials if trial.eligible][:5], 1)
    ]
    out.print(
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
    _show_choice(metrics)
    samples = metrics["samples"]["test"]
    out.print(table(("metric", "value", "95% interval"), tested, f"The winner on {samples:,} test samples", (1,)))
    took = ", ".join(f"{name} {seconds(value)}" for name, value in metrics["seconds"].items())
    out.print(Text(f"time: {took}", "dim"))
    out.print(Text.assemble("run: ", (metrics["run"], "bold"), f"  (open {metrics['run']}/report.html)"), soft_wrap=True)


def _show_choice(metrics: dict[str, Any]) -> None:
    """Say what was chosen, where that is not simply the first trial, and how it stands to the runner-up."""
    chosen, compared = metrics["selected"], metrics.get("comparison")
    if chosen["head"] == "ensemble":
        shares = ", ".join(f"{member['weight']:.2f} {member['head'].rpartition('.')[2]}" for member in chosen["members"])
        out.print(Text(f"ensemble of {len(chosen['members'])}: {shares}"))
    if "nested" in metrics:
        values = ", ".join(
            f"{name} {score['mean']:.4f} ± {score['deviation']:.4f}" for name, score in metrics["nested"].items()
        )
        out.print(Text(f"choosing by validation is worth, by nested folds: {values}"))
    if compared is not None:
        test, other = compared["test"], compared["runner_up"]
        p = "" if compared["mcnemar"] is None else f", McNemar p = {compared['mcnemar']['p_exact']:.3g}"
        against = f"{other['head'].rpartition('.')[2]} on {shorten(other['output'].split('+'))}"
        what = "absolute error saved" if metrics["task"] == "regression" else "right answers"
        span = f"{test['mean']:+.4f} ({test['low']:+.4f} to {test['high']:+.4f}{p})"
        out.print(Text(f"{what} on test, against {against}: {span}"))
    if "prediction_sets" in metrics:
        held, size = metrics["prediction_sets"]["coverage"], metrics["prediction_sets"]["size"]
        sets, extent = ("intervals", "width") if metrics["task"] == "regression" else ("sets", "size")
        told = f"prediction {sets} hold the truth for {held['value']:.4f} of the test samples; mean {extent} {size:.2f}"
        out.print(Text(told))


def show_inspection(found: dict[str, Any], most: int = 5) -> None:
    """Show what an inspection found: how many of each kind, and the gravest of them."""
    from pipelines.quality import KINDS

    rows = [(KINDS[kind], f"{count:,}") for kind, count in found["counts"].items()]
    out.print(table(("what", "found"), rows, f"{found['samples']:,} samples", (1,)))
    for kind, count in found["counts"].items():
        shown = [issue for issue in found["issues"] if issue["kind"] == kind][:most]
        if shown:
            told = [(issue["id"], issue["split"], issue["label"], issue["reason"]) for issue in shown]
            title = f"{KINDS[kind]}, {len(shown)} of {count:,}"
            out.print(table(("sample", "split", "label", "why"), told, title, prose=(3,)))
    for line in found["notes"]:
        note(line)
    out.print(Text.assemble("all of them: ", (found["table"], "bold")), soft_wrap=True)


def describe(params: dict[str, Any]) -> str:
    """Put parameters in one line, and leave out those that are None, which is a setting not made."""
    told = {
        name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in params.items() if value is not None
    }
    return ", ".join(f"{name}={value}" for name, value in told.items())


def seconds(value: float) -> str:
    """Write a duration as people read it."""
    return f"{value:.1f} s" if value < 100 else f"{value / 60:.1f} min"


def size(count: int) -> str:
    """Write a number of bytes as people read it."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


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
        out.print(table((answer, beside, "input"), rows, right=(1,) if beside == "probability" else (), prose=(2,)))
    else:
        out.print(table((answer, "input"), [(shown, text) for shown, _, text in rows], prose=(1,)))


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
    out.print(table(("backbone", "takes", "layers", "width", "parameters", "here"), rows, right=(2, 3, 4)))
    if search is None:
        out.print(
            "`--search WORDS` looks among all of timm's and open_clip's; a folder or a hub name does as well: hf:NAME, st:NAME"
        )
    elif not found:
        out.print(f"no backbone known here has `{search}` in its name; one on the hub is written hf:NAME or st:NAME")


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
    out.print(table(("what", "found"), rows, prose=(1,)))
    for problem in found["problems"]:
        fail(problem)
    if not found["problems"]:
        out.print("[green]nothing is missing[/green]")
