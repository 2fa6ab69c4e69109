"""Commands before there is an experiment: a first config, the backbones there are, what this machine would use."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import Json, StoreFolder


def init(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A CSV, TSV, JSONL or Parquet file, a folder, or Parquet files by a pattern.")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="DATA.yaml by default.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="The column of texts.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="The column of labels.")] = None,
    image: Annotated[str | None, typer.Option("--image", help="The column of images.")] = None,
    encoding: Annotated[
        str | None, typer.Option("--encoding", metavar="NAME", help="Of a table that is not UTF-8, such as cp1252.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a config that is there.")] = False,
    json: Json = False,
) -> None:
    """Look at data and write a commented config for them."""
    from pipelines import console, listings
    from pipelines.init import write_config

    written = write_config(data, output, text, label, image, force, encoding)
    console.print_json(written) if json else listings.show_config(written)
    for line in written["notes"]:
        console.note(line)


def backbones(
    search: Annotated[
        str | None, typer.Option("--search", metavar="WORDS", help="Look among all of timm's and open_clip's as well.")
    ] = None,
    json: Json = False,
) -> None:
    """List backbones: what they take, their size, and whether their weights are on this machine."""
    import dataclasses

    from extract.backbones.catalog import list_backbones
    from pipelines import console, summaries

    found = list_backbones(search)
    if json:
        console.print_json({"backbones": [dataclasses.asdict(entry) for entry in found]})
    else:
        summaries.show_backbones(found, search)


def doctor(store: StoreFolder = "features", json: Json = False) -> None:
    """Tell what this machine would use, and what is missing."""
    from pipelines import console, summaries
    from pipelines.doctor import examine

    found = examine(store)
    console.print_json(found) if json else summaries.show_findings(found)
    if found["problems"]:
        raise typer.Exit(1)
