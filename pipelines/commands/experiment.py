"""Commands on a config: from samples to features, trials, comparisons and tuned backbones."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import (
    Changes,
    ConfigFile,
    ConfigOrRun,
    EngineName,
    Evict,
    Json,
    MaxSize,
    NewRun,
    Processes,
    Store,
    Strict,
    changes,
)
from pipelines.completion import complete_runs


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
    from pipelines import bars, console, summaries
    from pipelines.config_file import load_config
    from pipelines.extract import extract_config
    from pipelines.launch import launch_if_asked

    loaded = load_config(config, changes(set_, max_size, evict, engine, processes))
    launch_if_asked(loaded)
    extraction = extract_config(loaded, store, strict, bars.Bars())
    if Rank.of_process().number:
        return  # of several ranks, the first one speaks
    if skipped is not None:
        extraction.write_skipped(skipped)
    if not extraction.features[0].samples:
        console.note(f"{extraction.samples.name}: holds no samples")
    summary = extraction.to_json()
    console.print_json(summary) if json else summaries.show_extraction(summary)


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
    from pipelines import bars, console, summaries
    from pipelines.experiment import run_experiment

    asked = changes(set_, max_size, evict, engine, processes)
    experiment = run_experiment(config, store, run, asked, strict, bars.Bars(), console.note)
    if experiment is None:
        return  # of several ranks, the first one trains and speaks
    if json:
        console.print_json(experiment.metrics)
    else:
        summaries.show_extraction(experiment.metrics["extract"])
        summaries.show_run(experiment.metrics, experiment.result)


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
    from pipelines import bars, console, listings
    from pipelines.config_file import load_config
    from pipelines.rank import rank_outputs

    ranking = rank_outputs(load_config(config, set_ or ()), store, run, check, bars.Bars()).to_json()
    console.print_json(ranking) if json else listings.show_ranking(ranking)


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
    from pipelines.config_file import load_config

    found = compare_methods(load_config(config, set_ or ()), run, console.note, new_cells=not cached).to_json()
    console.print_json(found) if json else show_comparison(found)


def recommend(
    subject: ConfigOrRun,
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="How long fine-tuning may take: 90s, 10m, 2h.")],
    worth: Annotated[float, typer.Option("--worth", min=0, max=1, help="Accuracy below which a gain is not worth it.")] = 0.01,
    speed: Annotated[
        float | None, typer.Option("--speed", min=1e-6, help="Samples a second through the backbone; measured by default.")
    ] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Say whether fine-tuning is likely to pay for itself, from cached features and a budget of time."""
    from pipelines import bars, console, listings
    from pipelines.recommend import recommend as judge

    found = judge(subject, budget, store, worth, speed, bars.Bars()).to_json()
    console.print_json(found) if json else listings.show_advice(found)


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
    from pipelines import bars, console, listings
    from pipelines.unfreezing.unfreeze import run_unfreeze

    metrics = run_unfreeze(config, store, run, changes(set_, max_size, evict, None, None), bars.Bars(), console.note)
    console.print_json(metrics) if json else listings.show_unfreezing(metrics)
