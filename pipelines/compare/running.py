"""A comparison from its config to its run folder.

config.yaml, environment.json   as in every run
features/                       the feature store of this comparison, so that its extraction is measured whole
cells/                          a record for every piece of work; what is there is not done again
comparison.json                 what `headstart compare --json` prints
comparison.html, figures/       the same for people
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipelines.compare.cells import Cell, CellFolder, Record
from pipelines.compare.job import Job, run_job
from pipelines.compare.planning import Plan, check_comparison, extraction_cell, make_plan
from pipelines.compare.progress import CellBar
from pipelines.compare.summary import Comparison, Search, summarize
from pipelines.config import Config
from pipelines.environment import environment
from pipelines.errors import RunError, UsageError
from pipelines.extract import Extraction, extract_config
from pipelines.task import make_task

Runner = Callable[[Job, bool], Record]


def compare_methods(
    config: Config,
    run: str | None = None,
    note: Callable[[str], None] = lambda line: None,
    quiet: bool = False,
    new_cells: bool = True,
    runner: Runner = run_job,
) -> Comparison:
    """Compare cached features with fine-tuning, and write the run's folder.

    Cells that are in the folder are not run again; so a comparison that was stopped goes on, and a config that was changed
    runs what the change touches. Cells that failed are tried again.

    Parameters
    ----------
    config
        The experiment.
    run
        The folder; `runs/<name>-compare` by default.
    note
        Told what the user should know.
    quiet
        Show no progress.
    new_cells
        False to report from the cells that are there.
    runner
        Runs a job; in a process of its own by default.

    Raises
    ------
    UsageError
        If the config is none that can be compared, or the folder holds something else.
    RunError
        If the extraction fails, or nothing is there to report.
    """
    check_comparison(config)
    folder = choose_folder(config, run)
    settled = config.model_copy(update={"outputs": config.outputs or "layers", "store": str((folder / "features").resolve())})
    cells = CellFolder(folder / "cells")
    _begin(folder, settled)
    record, extraction = _extract(folder, settled, cells, new_cells, runner)
    task = make_task(extraction, settled)
    for line in task.notes:
        note(line)
    plan = make_plan(settled, task, extraction.features[0], extraction.samples)
    searches = _search_all(plan, folder, cells, quiet, new_cells, runner)
    comparison = summarize(folder, plan, record, extraction, searches)
    for failed in comparison.failures:
        note(f"{failed.cell}: {failed.reason}")
    _write(folder, comparison)
    return comparison


def choose_folder(config: Config, asked: str | None) -> Path:
    """Return where a comparison is kept; raises `UsageError` if something else is there."""
    folder = Path(asked) if asked is not None else Path("runs", f"{config.name}-compare")
    if folder.exists() and not (folder / "cells").is_dir() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not a comparison; name another folder with --run")
    return folder


def _begin(folder: Path, config: Config) -> None:
    try:
        (folder / "cells").mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
        (folder / "environment.json").write_text(json.dumps(environment(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"{folder}: the comparison cannot be written: {error.strerror or error}") from error


def _extract(folder: Path, config: Config, cells: CellFolder, new_cells: bool, runner: Runner) -> tuple[Record, Extraction]:
    """Extract into an empty store, once, and read what is there."""
    cell = extraction_cell(config)
    record = cells.read(cell)
    if record is None or record.error is not None:
        if not new_cells:
            raise RunError(f"{folder}: nothing was compared here yet; leave out --cached")
        shutil.rmtree(folder / "features", ignore_errors=True)
        record = runner(Job.of(cell, folder / "config.yaml", folder / "features"), True)
        cells.write(cell, record)
        if record.error is not None:
            raise RunError(f"the features could not be extracted: {record.error}")
    return record, extract_config(config, config.store)


def _search_all(plan: Plan, folder: Path, cells: CellFolder, quiet: bool, new_cells: bool, runner: Runner) -> list[Search]:
    """Run every search: size by size, seed by seed, so that a comparison that is stopped compares what there is."""
    choice = plan.config.compare
    wanted = [
        (method, size, seed, plan.cells(method, size, seed, plan.split(size, seed)))
        for size in choice.sizes
        for seed in range(choice.seeds)
        for method in plan.methods
    ]
    searches: list[Search] = []
    chosen: dict[tuple[str, Any], dict[str, Any]] = {}
    with CellBar([cell for *_, found in wanted for cell in found], quiet or not new_cells) as bar:
        for method, size, seed, every in wanted:
            known = chosen.get((method, size)) if choice.search == "first" else None
            trials = every if known is None or len(every) == 1 else [cell for cell in every if cell.params == known]
            bar.drop([cell for cell in every if not any(cell is kept for kept in trials)])
            records = tuple(_run(trials, folder, cells, bar, new_cells, runner))
            search = Search(method, size, seed, records, searched=len(trials) == len(every))
            searches.append(search)
            if search.best is not None:
                chosen.setdefault((method, size), search.best[0].params)
    return searches


def _run(
    trials: list[Cell], folder: Path, cells: CellFolder, bar: CellBar, new_cells: bool, runner: Runner
) -> Iterator[tuple[Cell, Record]]:
    for cell in trials:
        record = cells.read(cell)
        began = time.monotonic()
        if new_cells and (record is None or record.error is not None):
            bar.begin(cell)
            record = runner(Job.of(cell, folder / "config.yaml", folder / "features"), False)
            cells.write(cell, record)
            bar.done(cell, time.monotonic() - began)
        elif record is not None:
            bar.done(cell, sum(record.content.get("seconds", {}).values()))
        if record is not None:
            yield cell, record


def _write(folder: Path, comparison: Comparison) -> None:
    from pipelines.compare.figure import write_figures
    from pipelines.compare.page import render

    told = comparison.to_json()
    try:
        (folder / "comparison.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        write_figures(folder / "figures", told)
        (folder / "comparison.html").write_text(render(told, (folder / "config.yaml").read_text("utf-8")), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{folder}: the comparison could not be written: {error.strerror or error}") from error
