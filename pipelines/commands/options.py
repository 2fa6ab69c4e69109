"""Arguments and options that several commands share."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.completion import complete_configs, complete_runs, complete_runs_and_configs

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The experiment's YAML file.", autocompletion=complete_configs)
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", autocompletion=complete_runs)]
NewRun = Annotated[
    str | None,
    typer.Option("--run", metavar="DIR", help="The run's folder (a run there is replaced); runs/NAME-TIME by default."),
]
Store = Annotated[
    str | None, typer.Option("--store", metavar="PLACE", help="Feature store (folder or URL) to use instead of the config's.")
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change a value of the config; may be repeated.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail on the first sample that cannot be used.")]
MaxSize = Annotated[
    str | None, typer.Option("--max-size", metavar="SIZE", help="Refuse to let the store grow past this size, such as 50GB.")
]
Evict = Annotated[bool, typer.Option("--evict", help="Past --max-size, remove recipes not used for longest instead.")]
EngineName = Annotated[
    str | None,
    typer.Option("--engine", metavar="NAME", help="Where to run the backbones: local, torchrun or ray."),
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes", min=1, help="How many processes run the backbones, with torchrun or ray; one a GPU by default."
    ),
]
StoreFolder = Annotated[
    str, typer.Option("--store", metavar="PLACE", help="The feature store: a folder, or a URL such as s3://bucket/features.")
]
ConfigOrRun = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG|RUN", help="The experiment's YAML file, or a run's folder.", autocompletion=complete_runs_and_configs
    ),
]
Encoding = Annotated[
    str | None, typer.Option("--encoding", metavar="NAME", help="Of files of texts; the run's data's by default.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]


def changes(set_: list[str] | None, max_size: str | None, evict: bool, engine: str | None, processes: int | None) -> list[str]:
    """Put options that are keys of the config among the changes to it."""
    asked = {"max_size": max_size, "evict": evict or None, "engine.kind": engine, "engine.processes": processes}
    return [*(set_ or ()), *(f"{key}={json.dumps(value)}" for key, value in asked.items() if value is not None)]
