"""One experiment from its config to its run folder: extract, train, report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from extract.ranks import Rank
from pipelines.config import Config
from pipelines.config_file import load_config
from pipelines.errors import UsageError
from pipelines.extract import Extraction, Prospect, extract_config, keeps_usual_output_alone
from pipelines.launch import launch_if_asked
from pipelines.trackers import check_trackers

LAYERS_LEFT_OUT = (
    "of a stream, and of very many samples, only the usual output is kept unasked; to try layers too, set "
    "`outputs: [{layer: all, pooling: mean}]`"
)


@dataclass(frozen=True)
class Experiment:
    """What an experiment gave: the config it was, the features, the result, and what `metrics.json` holds."""

    config: Config
    extraction: Extraction
    result: Any
    metrics: dict[str, Any]


def run_experiment(
    config_file: Path,
    store: str | None,
    run: str | None,
    changes: Sequence[str],
    strict: bool,
    bars: Any,
    note: Callable[[str], None],
) -> Experiment | None:
    """Run a config from raw samples to a run folder.

    Of several ranks (processes that `torchrun` or `srun` started) all extract, and the first one alone trains; the others get
    None.

    Parameters
    ----------
    config_file, changes
        The config and `a.b=value` changes to it.
    store, run
        Folders to use instead of the config's store and `runs/<name>-<time>`.
    strict
        Fail on samples that cannot be used.
    bars
        Told the progress.
    note
        Told what the user should know about the data.

    Raises
    ------
    LaunchNeeded
        If the config wants ranks and this process is none.
    """
    began = time.monotonic()
    config = load_config(config_file, changes)
    if config.data.urls is not None:
        raise UsageError(
            f"{config.where('data', 'urls')}: a list of URLs has no labels; to train, name a table with a column of URLs as "
            "`path`, that column as `image` and the labels' as `label`"
        )
    by_folder = config.data.path is not None and Path(config.data.path).is_dir()  # its folders are the classes
    if config.data.label is None and not by_folder:
        raise UsageError(f"{config.where('data')}: training needs a label column; name it as `data.label`")
    for key, kind in (("calibrate", "regression"), ("thresholds", "regression"), ("conformal", "multilabel")):
        if config.kind == kind and getattr(config, key) is not None:
            what = "numbers, which have no probabilities" if kind == "regression" else "several labels a sample"
            raise UsageError(f"{config.where(key)}: `{key}` does not go with {what}; leave it out")
    check_trackers(config.trackers)
    # scikit-learn and torch are imported from here on
    from pipelines.memory import settle_heads
    from pipelines.report import write_report
    from pipelines.report.figures import write_figures
    from pipelines.run import choose_run_folder, write_run
    from pipelines.task import check_samples, check_slice, make_task
    from pipelines.train import check_asked, train
    from pipelines.trials import check_folds, check_heads, check_outputs, count_all_trials

    check_heads(config)
    launch_if_asked(config)
    folder = choose_run_folder(config, run)

    def check(found: Prospect) -> None:
        check_outputs(config, found.kept)
        if (task := check_samples(config, found)) is not None:
            check_folds(config, task)
            check_asked(config, task)

    extraction = extract_config(config, store, strict, bars, check=check, check_slice=partial(check_slice, config.kind))
    if Rank.of_process().number:
        return None
    task = make_task(extraction, config)
    config, changes_told = settle_heads(config, extraction, task)
    if config.outputs == "layers" and keeps_usual_output_alone(extraction):
        changes_told = [*changes_told, LAYERS_LEFT_OUT]
    for line in [*task.notes, *changes_told]:
        note(line)
    bars.start_trials(count_all_trials(config, extraction, task))
    try:
        result = train(config, extraction, task, bars.advance_trial)
    finally:
        bars.finish()
    for line in result.notes:
        note(line)
    seconds = {"extract": extraction.seconds, "sweep": result.seconds, "total": time.monotonic() - began}

    def report(place: Path) -> None:
        write_figures(place, config, result)
        write_report(place, config, extraction, task, result.selected.recipe, result.selected.outputs)

    metrics = write_run(folder, config, extraction, task, result, store or config.store, seconds, report)
    experiment = Experiment(config, extraction, result, metrics)
    if config.trackers:
        from pipelines.tracking import track_experiment

        track_experiment(experiment, config.trackers)
    return experiment
