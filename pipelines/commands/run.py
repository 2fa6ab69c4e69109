"""Commands on a run: what its heads say of samples, new ones and its own."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import ConfigOrRun, Encoding, Json, RunFolder, Store


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
    encoding: Encoding = None,
    store: Store = None,
    json: Json = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a sample, as soon as it is answered.")] = False,
) -> None:
    """Classify new texts or images with a run's head."""
    from pipelines import bars, console, summaries
    from pipelines.errors import UsageError
    from pipelines.predict import Tally
    from pipelines.predict import predict as classify

    if json and jsonl:
        raise UsageError("give --json or --jsonl, and not both")
    tally = Tally()
    predictions = tally.count(classify(run, texts or (), file, store, bars.Bars(quiet=jsonl), encoding))
    if jsonl:
        for prediction in predictions:
            console.print_json(prediction)
    elif json:
        console.print_json({"predictions": list(predictions)})
    else:
        summaries.show_predictions(list(predictions))
    if (left_out := tally.conclude("command line" if file is None else "stdin" if file == "-" else file)) is not None:
        console.note(left_out)


def evaluate(
    run: RunFolder,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="F", help="Labelled samples: a table with the run's columns, or a folder by class."),
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Only this split: train, validation, test.")] = None,
    encoding: Encoding = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Test a run's head on labelled samples: new ones, or the run's own test samples once more."""
    from pipelines import bars, console, listings
    from pipelines.evaluate import evaluate as test

    evaluation = test(run, file, split, store, bars.Bars(), encoding)
    console.print_json(evaluation) if json else listings.show_evaluation(evaluation)


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


def inspect(
    subject: ConfigOrRun,
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
    from pipelines import bars, console, summaries
    from pipelines.inspect import inspect as look

    found = look(subject, store, table, similarity, bars.Bars())
    console.print_json(found) if json else summaries.show_inspection(found)


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
