"""Progress bars on standard error."""

import math
import time

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pipelines import console


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
        self._total = 0

    def start(self, title: str, cached: int, missing: int, copies: int = 0) -> None:
        """Begin an extraction: say what was found, and show a bar for what was not."""
        more = f" ({copies:,} more are copies of these)" if copies else ""
        self._begin(
            missing,
            f"{cached:,} found in cache, {missing:,} to extract with {title}{more}",
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
            TimeElapsedColumn(), console=console.err,
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
            if self._samples > self._total:  # another process's share, which it has left
                self._total = self._samples
                self._progress.update(self._task, total=self._total)
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
            console.err.print(Text(f"waiting for another process that is extracting {samples:,} of these samples", "dim"))

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
            console.err.print(Text(headline, "dim"))
        if not total:
            return
        best = [TextColumn("{task.fields[failed]}best {task.fields[best]:.4f}")] if unit == "trials/s" else []
        self._progress = Progress(
            SpinnerColumn(), title, BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[count]}/{task.total:,.0f}"),
            TextColumn(f"{{task.fields[speed]}} {unit}"), *best, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=console.err, speed_estimate_period=30,
        )  # fmt: skip
        self._samples, self._total, self._began = 0, total, time.monotonic()
        self._task = self._progress.add_task("", total=total, count="0", speed="-", best=math.nan, failed="")
        self._progress.start()
