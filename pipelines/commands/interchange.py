"""The commands `export`, `import`, `push` and `pull`: features and heads to and from elsewhere."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.commands.options import ConfigFile, Json, Store
from pipelines.completion import complete_runs

Kind = Literal["parquet", "npy", "datasets", "projector"]


def export(
    config: ConfigFile,
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
    kind: Annotated[Kind, typer.Option("--format", help="What to write.")] = "parquet",
    output: Annotated[str | None, typer.Option("--output", help="Only this output, such as layer6.mean.")] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Write features with ids and labels for other tools: data frames, numpy, datasets, Embedding Atlas, TensorBoard."""
    from pipelines import bars, console
    from pipelines.config_file import load_config
    from pipelines.interchange import export_features

    written = export_features(load_config(config), to, kind, output, store, bars.Bars())
    told = f"{written['samples']:,} samples in {written['folder']}: {', '.join(written['files'])}"
    console.print_json(written) if json else console.out.print(told, soft_wrap=True)


def import_(
    config: ConfigFile,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".npy [n, d], or Parquet with a column of lists.")],
    name: Annotated[str, typer.Option("--name", help="What the features are called.")],
    column: Annotated[str | None, typer.Option("--column", help="The column of a Parquet file.")] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Take features computed elsewhere into the store; the data of CONFIG say whose they are."""
    from pipelines import console, summaries
    from pipelines.config_file import load_config
    from pipelines.interchange import import_from_file

    taken = import_from_file(load_config(config), file, name, column, store)
    if json:
        console.print_json(taken)
    else:
        console.out.print(
            f"{taken['samples']:,} samples of width {taken['width']:,} are in the store; to train on them:", soft_wrap=True
        )
        console.out.print(f"backbones: ['{taken['backbone']}']", soft_wrap=True)
        summaries.show_skipped(taken["skipped"])


def push(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", autocompletion=complete_runs)],
    to: Annotated[str, typer.Argument(metavar="DEST", help="A new folder, or hub:user/name.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository on the hub private.")] = False,
    json: Json = False,
) -> None:
    """Share a run's head with a model card, as a folder or on the Hugging Face hub."""
    from pipelines import console
    from pipelines.hub import push as send

    place = send(run, to, private)
    console.print_json({"head": place}) if json else console.out.print(f"head and model card: {place}", soft_wrap=True)


def pull(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A folder, or hub:user/name[@revision].")],
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder, which `predict` takes as a run.")],
    trust: Annotated[bool, typer.Option("--trust", help="Also if its backbone runs code of its own.")] = False,
    json: Json = False,
) -> None:
    """Fetch a shared head; `predict`, `evaluate` and `serve` take its folder as a run."""
    from pipelines import console
    from pipelines.hub import pull as fetch

    place = fetch(source, to, trust)
    console.print_json({"run": str(place)}) if json else console.out.print(
        f"ready: headstart predict {place} ...", soft_wrap=True
    )
