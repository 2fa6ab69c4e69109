"""A run folder as the report reads it: what is there is shown, and what an older run lacks is left out."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import RunError

_OWN = ("id", "label", "predicted", "set", "low", "high")


@dataclass(frozen=True)
class Predictions:
    """The test split's answers by the ids of its samples.

    Attributes
    ----------
    ids, labels, predicted
        Of every test sample; labels are names, lists of names, or numbers.
    probabilities
        `[t, c]`, or None.
    classes
        Whose the columns of `probabilities` are.
    """

    ids: list[str]
    labels: list[Any]
    predicted: list[Any]
    probabilities: np.ndarray | None
    classes: list[str]

    @property
    def sureness(self) -> np.ndarray | None:
        """The probability of every answer `[t]`; None where there are no probabilities or several answers a sample.

        Where a threshold decides, it is not always the highest.
        """
        if self.probabilities is None or (self.labels and isinstance(self.labels[0], list)):
            return None
        code = {name: number for number, name in enumerate(self.classes)}
        sure: np.ndarray = self.probabilities[np.arange(len(self.predicted)), [code[name] for name in self.predicted]]
        return sure


@dataclass(frozen=True)
class Record:
    """What a run folder holds.

    Attributes
    ----------
    name, metric, kind
        Of the experiment: its name, the metric that decided, the kind of task.
    metrics
        `metrics.json`.
    trials
        Rows of `trials.parquet`, best first, with `score` and `deviation` of the metric that decided.
    predictions
        Of the test split.
    histories
        Name of a trained head -> its losses by epoch.
    yaml, environment
        The files' contents.
    """

    name: str
    metric: str
    kind: str
    metrics: dict[str, Any]
    trials: list[dict[str, Any]]
    predictions: Predictions
    histories: dict[str, dict[str, Any]] = field(default_factory=dict)
    yaml: str = ""
    environment: str = ""


def read_record(folder: Path, name: str, metric: str, kind: str) -> Record:
    """Read a run folder.

    Raises
    ------
    RunError
        If a file that every run has cannot be read.
    """
    import pyarrow.parquet as pq

    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        trials = [
            {
                **row,
                "params": json.loads(row["params"]),
                "score": row.get(metric),
                "deviation": row.get(f"{metric}_std") or 0.0,
            }
            for row in pq.read_table(folder / "trials.parquet").to_pylist()
        ]
        predictions = _read_predictions(pq.read_table(folder / "test_predictions.parquet"))
        for needed in ("run", "trials", "selected", "test", "samples", "extract"):
            metrics[needed]
        yaml = (folder / "config.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder}: cannot be read as a run: {type(error).__name__}: {error}") from error
    metrics.setdefault("notes", [])
    environment = folder / "environment.json"
    told = environment.read_text(encoding="utf-8") if environment.is_file() else ""
    return Record(name, metric, kind, metrics, trials, predictions, _read_histories(folder), yaml, told)


def _read_predictions(table: Any) -> Predictions:
    columns = {name: table[name].to_pylist() for name in ("id", "label", "predicted")}
    names = [name for name in table.column_names if name.startswith("probability:") and name not in _OWN]
    probabilities = np.stack([table[name].to_numpy() for name in names], axis=1) if names else None
    classes = [name.removeprefix("probability:") for name in names]
    return Predictions(columns["id"], columns["label"], columns["predicted"], probabilities, classes)


def _read_histories(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the losses of those of a run's heads that were trained step by step."""
    histories = {}
    for place in sorted(folder.glob("head*/head.json")):
        try:
            description = json.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if description.get("history", {}).get("train_loss"):
            histories[f"{place.parent.name}: {description.get('kind', '')}"] = description["history"]
    return histories
