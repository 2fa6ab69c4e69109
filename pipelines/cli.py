"""The `headstart` command. Only arguments, messages and exit statuses are here; heavy imports wait for their command."""

import json as json_module
import sys
import traceback
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.exceptions import TyperException

from pipelines import interchange_cli
from pipelines.cache_cli import StoreFolder, cache_app
from pipelines.completion import complete_configs, complete_runs, complete_runs_and_configs
from pipelines.runs_cli import runs_app

STOPPED = 130
"""Exit status after Ctrl-C, by the shells' convention; typer turns the interruption into it."""

_GOES_ON = "what was extracted is in the store, and the same command goes on from there"

app = typer.Typer(
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Train classifiers on the cached features of frozen pretrained backbones, in seconds.",
)

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The experiment's YAML file.", autocompletion=complete_configs)
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", autocompletion=complete_runs)]
NewRun = Annotated[str | None, typer.Option("--run", metavar="DIR", help="The run's folder; runs/NAME-TIME by default.")]
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
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"headstart {version('headstart')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Tell the version and stop.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """Take what stands before the command; `--debug` is read by `main`."""


@app.command()
def extract(
    config: ConfigFile,
    store: Store = None,
    set_: Changes = None,
    strict: Strict = False,
    max_size: MaxSize = None,
    evict: Evict = False,
    engine: EngineName = None,
    processes: Processes = None,
    skipped: Annotated[
        Path | None, typer.Option("--skipped", metavar="F", help="Write the samples that could not be used to this JSONL file.")
    ] = None,
    json: Json = False,
) -> None:
    """Run the backbones over the samples whose features are not in the store yet."""
    from extract.ranks import Rank
    from pipelines import console
    from pipelines.config import load_config
    from pipelines.extract import extract_config
    from pipelines.launch import launch_if_asked

    loaded = load_config(config, _changes(set_, max_size, evict, engine, processes))
    launch_if_asked(loaded)
    extraction = extract_config(loaded, store, strict, console.Bars())
    if Rank.of_process().number:
        return  # of several ranks, the first one speaks
    if skipped is not None:
        extraction.write_skipped(skipped)
    if not extraction.features[0].samples:
        console.note(f"{extraction.samples.name}: holds no samples")
    summary = extraction.to_json()
    console.print_json(summary) if json else console.show_extraction(summary)


@app.command()
def train(
    config: ConfigFile,
    store: Store = None,
    run: NewRun = None,
    set_: Changes = None,
    strict: Strict = False,
    max_size: MaxSize = None,
    evict: Evict = False,
    engine: EngineName = None,
    processes: Processes = None,
    json: Json = False,
) -> None:
    """Extract what is missing, try every head, choose one by validation and test it once."""
    from pipelines import console
    from pipelines.experiment import run_experiment

    changes = _changes(set_, max_size, evict, engine, processes)
    experiment = run_experiment(config, store, run, changes, strict, console.Bars(), console.note)
    if experiment is None:
        return  # of several ranks, the first one trains and speaks
    if json:
        console.print_json(experiment.metrics)
    else:
        console.show_extraction(experiment.metrics["extract"])
        console.show_run(experiment.metrics, experiment.result.trials, experiment.config.metric)


@app.command()
def predict(
    run: RunFolder,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT|IMAGE]...", help="Texts, or images and folders of them, to classify.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            metavar="F",
            help="A file of them: .txt, CSV, TSV, JSONL, Parquet (also a pattern or URL), a folder, or - for stdin.",
        ),
    ] = None,
    store: Store = None,
    json: Json = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a sample, as soon as it is answered.")] = False,
) -> None:
    """Classify new texts or images with a run's head."""
    from pipelines import console
    from pipelines.errors import UsageError
    from pipelines.predict import predict as classify

    if json and jsonl:
        raise UsageError("give --json or --jsonl, and not both")
    predictions = classify(run, texts or (), file, store, console.Bars(quiet=jsonl))
    if jsonl:
        for prediction in predictions:
            console.print_json(prediction)
    elif json:
        console.print_json({"predictions": list(predictions)})
    else:
        console.show_predictions(list(predictions))


@app.command()
def evaluate(
    run: RunFolder,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="F", help="Labelled samples: a table with the run's columns, or a folder by class."),
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Only this split: train, validation, test.")] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Test a run's head on labelled samples: new ones, or the run's own test samples once more."""
    from pipelines import console, listings
    from pipelines.evaluate import evaluate as test

    evaluation = test(run, file, split, store, console.Bars())
    console.print_json(evaluation) if json else listings.show_evaluation(evaluation)


@app.command()
def rank(
    config: ConfigFile,
    store: Store = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="RUN", help="Say how the estimates agree with this run's trials.", autocompletion=complete_runs
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Train linear heads too, and say how the estimates agree.")] = False,
    set_: Changes = None,
    json: Json = False,
) -> None:
    """Estimate which backbone, layer and pooling will do best, before any head is trained."""
    from pipelines import console, listings
    from pipelines.config import load_config
    from pipelines.rank import rank_outputs

    ranking = rank_outputs(load_config(config, set_ or ()), store, run, check, console.Bars()).to_json()
    console.print_json(ranking) if json else listings.show_ranking(ranking)


@app.command()
def compare(
    config: ConfigFile,
    run: Annotated[
        str | None, typer.Option("--run", metavar="DIR", help="The comparison's folder; runs/NAME-compare by default.")
    ] = None,
    cached: Annotated[
        bool, typer.Option("--cached", help="Run nothing: report what the folder holds of this comparison.")
    ] = False,
    set_: Changes = None,
    json: Json = False,
) -> None:
    """Compare cached features with full and partial fine-tuning, LP-FT and LoRA: what each reaches, and what it costs."""
    from pipelines import console
    from pipelines.compare.listing import show_comparison
    from pipelines.compare.running import compare_methods
    from pipelines.config import load_config

    found = compare_methods(load_config(config, set_ or ()), run, console.note, new_cells=not cached).to_json()
    console.print_json(found) if json else show_comparison(found)


@app.command()
def recommend(
    subject: Annotated[Path, typer.Argument(metavar="CONFIG|RUN", help="The experiment's YAML file, or a run's folder.")],
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="How long fine-tuning may take: 90s, 10m, 2h.")],
    worth: Annotated[float, typer.Option("--worth", min=0, max=1, help="Accuracy below which a gain is not worth it.")] = 0.01,
    speed: Annotated[
        float | None, typer.Option("--speed", min=1e-6, help="Samples a second through the backbone; measured by default.")
    ] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Say whether fine-tuning is likely to pay for itself, from cached features and a budget of time."""
    from pipelines import console, listings
    from pipelines.recommend import recommend as judge

    found = judge(subject, budget, store, worth, speed, console.Bars()).to_json()
    console.print_json(found) if json else listings.show_advice(found)


@app.command()
def unfreeze(
    config: ConfigFile,
    store: Store = None,
    run: NewRun = None,
    set_: Changes = None,
    max_size: MaxSize = None,
    evict: Evict = False,
    json: Json = False,
) -> None:
    """Tune a backbone phase by phase from the top; what its frozen blocks give is computed once."""
    from pipelines import console, listings
    from pipelines.unfreeze import run_unfreeze

    metrics = run_unfreeze(config, store, run, _changes(set_, max_size, evict, None, None), console.Bars(), console.note)
    console.print_json(metrics) if json else listings.show_unfreezing(metrics)


@app.command()
def serve(
    run: RunFolder,
    host: Annotated[str, typer.Option(help="Where to listen; only this machine by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any that is free.")] = 8000,
    items: Annotated[int, typer.Option("--max-items", min=1, help="Inputs in one request, at most.")] = 256,
    body: Annotated[float, typer.Option("--max-mb", min=0.001, help="Megabytes in one request, at most.")] = 16,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until a request is given up.")] = 30,
    json: Json = False,
) -> None:
    """Answer over HTTP with a run's heads: POST /predict, GET /health."""
    from pipelines.serve import serve_run

    serve_run(run, host, port, items, int(body * 1e6), timeout, json)


@app.command()
def init(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A CSV, TSV, JSONL or Parquet file, or a folder.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="DATA.yaml by default.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="The column of texts.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="The column of labels.")] = None,
    image: Annotated[str | None, typer.Option("--image", help="The column of images.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a config that is there.")] = False,
    json: Json = False,
) -> None:
    """Look at data and write a commented config for them."""
    from pipelines import console, listings
    from pipelines.init import write_config

    written = write_config(data, output, text, label, image, force)
    console.print_json(written) if json else listings.show_config(written)


@app.command()
def report(
    run: RunFolder,
    store: Store = None,
    points: Annotated[int, typer.Option("--points", min=1, help="Samples on the map at most.")] = 100_000,
    quick: Annotated[bool, typer.Option("--quick", help="Without UMAP, and t-SNE of fewer samples.")] = False,
    json: Json = False,
) -> None:
    """Write a run's report.html anew, with everything its folder, data and store still hold; runs no backbone."""
    import dataclasses

    from pipelines import console
    from pipelines.report import Effort, rebuild_report
    from pipelines.report.sample_map import QUICK

    effort = dataclasses.replace(QUICK if quick else Effort(), points=points)
    missing = rebuild_report(run, store, effort)
    page = run / "report.html"
    if json:
        console.print_json({"report": str(page), "bytes": page.stat().st_size, "missing": missing})
    else:
        for line in missing:
            console.note(line)
        console.out.print(f"report: {page}", soft_wrap=True)


@app.command()
def inspect(
    subject: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG|RUN",
            help="The experiment's YAML file, or a run's folder.",
            autocompletion=complete_runs_and_configs,
        ),
    ],
    store: Store = None,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="Where to write the issues: .csv or .parquet.")
    ] = None,
    similarity: Annotated[
        float, typer.Option("--similarity", help="Cosine similarity from which on samples are near duplicates.")
    ] = 0.97,
    json: Json = False,
) -> None:
    """Look for likely label errors, duplicates, leaks between splits and outliers, and write them as a table."""
    from pipelines import console
    from pipelines.inspect import inspect as look

    found = look(subject, store, table, similarity, console.Bars())
    console.print_json(found) if json else console.show_inspection(found)


@app.command()
def backbones(
    search: Annotated[
        str | None, typer.Option("--search", metavar="WORDS", help="Look among all of timm's and open_clip's as well.")
    ] = None,
    json: Json = False,
) -> None:
    """List backbones: what they take, their size, and whether their weights are on this machine."""
    import dataclasses

    from extract.backbones.catalog import list_backbones
    from pipelines import console

    found = list_backbones(search)
    if json:
        console.print_json({"backbones": [dataclasses.asdict(entry) for entry in found]})
    else:
        console.show_backbones(found, search)


@app.command()
def doctor(store: StoreFolder = "features", json: Json = False) -> None:
    """Tell what this machine would use, and what is missing."""
    from pipelines import console
    from pipelines.doctor import examine

    found = examine(store)
    console.print_json(found) if json else console.show_findings(found)
    if found["problems"]:
        raise typer.Exit(1)


app.add_typer(cache_app, name="cache")
app.add_typer(runs_app, name="runs")
app.command("export")(interchange_cli.export)
app.command("import")(interchange_cli.import_)
app.command("push")(interchange_cli.push)
app.command("pull")(interchange_cli.pull)


def _changes(set_: list[str] | None, max_size: str | None, evict: bool, engine: str | None, processes: int | None) -> list[str]:
    """Put options that are keys of the config among the changes to it."""
    asked = {"max_size": max_size, "evict": evict or None, "engine.kind": engine, "engine.processes": processes}
    return [*(set_ or ()), *(f"{key}={json_module.dumps(value)}" for key, value in asked.items() if value is not None)]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 the work failed, 2 wrong usage or config."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    warnings.showwarning = _tell
    try:
        with _terminable(arguments):
            status = int(app(arguments, prog_name="headstart", standalone_mode=False) or 0)
        return _stopped(arguments) if status == STOPPED else status
    except TyperException as error:
        return _fail(f"{error.format_message()} (`{_command(error)} --help` tells more)", 2, debug)
    except (typer.Abort, KeyboardInterrupt):
        return _stopped(arguments)
    except BrokenPipeError:
        return 1
    except Exception as error:
        from cache import HeadstartError
        from extract.errors import NoSuchNameError
        from pipelines.errors import UsageError
        from pipelines.launch import LaunchNeeded, launch

        if isinstance(error, LaunchNeeded):
            status, told = launch(arguments, error.ranks)
            more = f"{told}; {_GOES_ON}" if told else None
            return _stopped(arguments) if status == STOPPED else _fail(more, status, debug) if more else status
        if isinstance(error, HeadstartError):
            return _fail(str(error), 2 if isinstance(error, UsageError | NoSuchNameError) else 1, debug)
        return _fail(f"{type(error).__name__}: {error} (--debug shows where; this may be a bug)", 1, debug)


def _tell(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show what a store warns of in one line, and other warnings as Python does."""
    if category.__name__ == "StoreWarning":  # without importing the store for it
        from pipelines import console

        console.note(str(message))
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def _extracts(arguments: list[str]) -> bool:
    return bool({"extract", "train", "predict", "evaluate", "rank", "unfreeze"} & set(arguments[:1]))


def _terminable(arguments: list[str]) -> AbstractContextManager[None]:
    if not _extracts(arguments):
        return nullcontext()
    from pipelines.stopping import terminable

    return terminable()


def _stopped(arguments: list[str]) -> int:
    more = f"; {_GOES_ON}" if _extracts(arguments) else ""
    if arguments[:1] == ["compare"]:
        more = "; the cells that ended are in the comparison's folder, and the same command goes on from there"
    return _fail(f"stopped{more}", STOPPED, False)


def _fail(text: str, status: int, debug: bool) -> int:
    from pipelines import console
    from pipelines.stopping import speaker

    who = speaker(status != STOPPED)
    if who is not None:
        if debug:
            traceback.print_exc()
        console.fail(f"{who}{text}")
    return status


def _command(error: TyperException) -> str:
    context: Any = getattr(error, "ctx", None)
    return context.command_path if context is not None else "headstart"


if __name__ == "__main__":
    sys.exit(main())
