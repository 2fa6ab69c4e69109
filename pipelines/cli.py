"""The `headstart` command: its messages and exit statuses. What each command takes is in `pipelines.commands`."""

import sys
import traceback
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, TextIO

import typer
from typer.exceptions import TyperException

from pipelines.commands import experiment, interchange, run, setup
from pipelines.commands.cache import cache_app
from pipelines.commands.runs import runs_app

STOPPED = 130
"""Exit status after Ctrl-C, by the shells' convention; typer turns the interruption into it."""

_GOES_ON = "what was extracted is in the store, and the same command goes on from there"

app = typer.Typer(
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Train classifiers on the cached features of frozen pretrained backbones, in seconds.",
)


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


for _command in (
    experiment.extract, experiment.train, run.predict, run.evaluate, experiment.rank, experiment.compare, experiment.recommend,
    experiment.unfreeze, run.serve, setup.init, run.report, run.inspect, setup.backbones, setup.doctor,
    interchange.export, interchange.push, interchange.pull,
):  # fmt: skip
    app.command()(_command)
app.command("import")(interchange.import_)
app.add_typer(cache_app, name="cache")
app.add_typer(runs_app, name="runs")


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
        return _fail(f"{error.format_message()} (`{_path(error)} --help` tells more)", 2, debug)
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


def _path(error: TyperException) -> str:
    context: Any = getattr(error, "ctx", None)
    return context.command_path if context is not None else "headstart"


if __name__ == "__main__":
    sys.exit(main())
