"""`headstart runs`: list runs, and compare them on the same test samples."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import Json
from pipelines.completion import complete_runs

runs_app = typer.Typer(help="List runs, and compare them.")


@runs_app.command("ls")
def ls(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where runs are.")] = Path("runs"),
    json: Json = False,
) -> None:
    """List the runs in a folder, newest first."""
    import dataclasses

    from pipelines import console, listings
    from pipelines.runs import list_runs

    found, faults = list_runs(folder)
    for fault in faults:
        console.note(fault)
    if json:
        console.print_json({"runs": [dataclasses.asdict(entry) for entry in found]})
    else:
        listings.show_runs(found, folder)


@runs_app.command("compare")
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN...", help="Folders of runs; all are compared with the first.", autocompletion=complete_runs
        ),
    ],
    json: Json = False,
) -> None:
    """Compare runs with the first one, by paired tests on the test samples they share."""
    from pipelines import console, listings
    from pipelines.runs import compare_runs

    compared = compare_runs(runs)
    console.print_json(compared) if json else listings.show_run_comparison(compared)
