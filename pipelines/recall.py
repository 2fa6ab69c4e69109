"""A run's samples and features once more, from its data and its store: nothing is extracted, and no backbone is loaded."""

import contextlib
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache import FeatureStore, Ragged, StoredTable
from extract import Features, Samples
from pipelines.columns import read_columns
from pipelines.config import Config
from pipelines.config_file import load_config
from pipelines.errors import RunError
from pipelines.extract import Extraction, load_data, samples_of_table
from pipelines.run import test_ids
from pipelines.runs import check_run
from pipelines.task import Task, make_task


@dataclass(frozen=True)
class Recalled:
    """A run's config, its samples and features, and the task they make."""

    config: Config
    extraction: Extraction
    task: Task
    outputs: tuple[str, ...]


def read_config(run: Path) -> Config:
    """Read a run's config.

    Raises
    ------
    UsageError
        If the folder is no run.
    """
    check_run(run)
    return load_config(run / "config.yaml")


def recall(run: Path, store: str | None = None) -> Recalled:
    """Find what a run's winner was trained on.

    Parameters
    ----------
    run
        A run folder.
    store
        Feature store to use instead of the run's.

    Raises
    ------
    HeadstartError
        If the data cannot be read any more, or the store lacks their features; in one line.
    """
    config = read_config(run)
    recipe, outputs = _used(run)
    place = FeatureStore(store or config.store)
    if config.data.streams:
        extraction = _recall_stream(run, place, recipe, outputs)
    else:
        samples = load_data(config.data)
        extraction = Extraction(samples, [recall_features(samples, place, recipe, outputs)], 0.0)
    task = make_task(extraction, config)
    with contextlib.suppress(RunError):  # a part that was held out is the one that the run was tested on, whatever came since
        ids = extraction.samples.ids
        tested = np.isin([ids[row] for row in task.rows.tolist()], test_ids(run))
        task = dataclasses.replace(task, test=tested) if tested.any() else task
    return Recalled(config, extraction, task, outputs)


def _recall_stream(run: Path, store: FeatureStore, recipe: str, outputs: tuple[str, ...]) -> Extraction:
    """Find what a run was trained on by the table that its stream left in the store."""
    try:
        name = str(json.loads((run / "metrics.json").read_text(encoding="utf-8"))["extract"]["table"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{run}: does not say which table of the store it was trained on") from error
    table = StoredTable(store.find_table(Path(name).name))
    keys, found = table.keys(), store.find_recipe(recipe)
    held = np.flatnonzero(~store.missing(found, keys, outputs))
    if not len(held):
        raise RunError(f"{store.name}: holds no features of {name} under recipe {recipe[:12]}; `headstart extract` makes them")
    features = Features(store, found, outputs, keys[held], held, [], len(keys), len(held), 0, False, 0.0)
    return Extraction(samples_of_table(name, table), [features], 0.0, table=name)


def recall_features(samples: Samples, store: FeatureStore, recipe: str, outputs: tuple[str, ...]) -> Features:
    """Return the features of those samples of which the store holds all of some outputs.

    Raises
    ------
    RunError
        If it holds them of none.
    """
    found = store.find_recipe(recipe)
    for candidate in (samples, samples.as_files()):  # texts are the paths of images for a backbone that takes these alone
        admitted = candidate.admit(candidate.kind or "text")
        missing = store.missing(found, admitted.keys, outputs)
        if len(missing) and not missing.all():
            held = int((~missing).sum())
            return Features(
                store, found, outputs, admitted.keys[~missing], admitted.rows[~missing], [], len(samples), held, 0, False, 0.0
            )
    raise RunError(
        f"{store.name}: holds no features of {samples.name} under recipe {recipe[:12]}; `headstart extract` makes them"
    )


def plain_features(features: Features, outputs: tuple[str, ...], rows: np.ndarray) -> np.ndarray:
    """Read features `[n, d]` of samples by their positions in the source; of tokens their means."""
    X = read_columns(features, outputs, rows).X
    if isinstance(X, Ragged):
        return np.stack([np.asarray(X[number]).mean(axis=0) for number in range(len(X))])
    return np.asarray(X)


def _used(run: Path) -> tuple[str, tuple[str, ...]]:
    """Return the recipe and outputs of a run's first head."""
    for folder in (run / "head", run / "head-1"):
        try:
            expects = json.loads((folder / "head.json").read_text(encoding="utf-8"))["expects"]
            outputs = expects.get("outputs") or [expects["output"]]
            return str(expects["recipe"]), tuple(str(name) for name in outputs)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{folder}: does not say what its head was trained on") from error
    raise RunError(f"{run}: holds no head")
