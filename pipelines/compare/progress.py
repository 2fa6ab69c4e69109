"""How a comparison goes on, for people: cells done, and the time left by what cells like the next ones took."""

from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipelines import console
from pipelines.compare.cells import Cell


class CellBar:
    """A bar over a comparison's cells.

    Parameters
    ----------
    cells
        All that may run; some turn out to be there already.
    quiet
        Show nothing.
    """

    def __init__(self, cells: list[Cell], quiet: bool = False) -> None:
        self._waiting = {cell.digest: cell for cell in cells}
        self._took: dict[str, list[float]] = {}
        self._progress: Progress | None = None
        self._by_line = not quiet and not console.err.is_terminal
        self._finished = 0
        if not quiet and not self._by_line:
            self._progress = Progress(
                SpinnerColumn(), TextColumn("[bold]comparing"), BarColumn(), TextColumn("{task.completed}/{task.total} cells"),
                TimeElapsedColumn(), TextColumn("{task.fields[left]}"), TextColumn("{task.fields[title]}", style="dim"),
                console=console.err,
            )  # fmt: skip
            self._task = self._progress.add_task("", total=len(cells), left="", title="")

    def __enter__(self) -> "CellBar":
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *failure: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def begin(self, cell: Cell) -> None:
        """Say what runs now."""
        self._show(title=cell.title)

    def done(self, cell: Cell, seconds: float) -> None:
        """Count a cell that took so long, or would have had it not been there."""
        self._waiting.pop(cell.digest, None)
        if cell.split is not None:
            self._took.setdefault(cell.method, []).append(seconds / max(1, len(cell.split.train)))
        self._finished += 1
        if self._by_line:
            console.note(
                f"{self._finished} of {self._finished + len(self._waiting)} cells: {cell.title}, {console.seconds(seconds)}"
            )
        self._show(advance=1, left=f"{console.seconds(self.left())} left" if self._waiting else "")

    def drop(self, cells: list[Cell]) -> None:
        """Leave out cells that need not run."""
        for cell in cells:
            self._waiting.pop(cell.digest, None)
        if self._progress is not None:
            self._progress.update(self._task, total=(self._progress.tasks[0].total or 0) - len(cells))

    def left(self) -> float:
        """Return the seconds that the waiting cells are likely to take: a method's mean so far, by training samples."""
        rates = {method: sum(took) / len(took) for method, took in self._took.items()}
        usual = sum(rates.values()) / max(1, len(rates))
        return sum(
            rates.get(cell.method, usual) * len(cell.split.train) for cell in self._waiting.values() if cell.split is not None
        )

    def _show(self, advance: float = 0, **fields: Any) -> None:
        if self._progress is not None:
            self._progress.update(self._task, advance=advance, **fields)
