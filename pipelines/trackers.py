"""Trackers: one interface over Weights & Biases, TensorBoard and MLflow, through their own libraries."""

import importlib
import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.errors import UsageError

TrackerName = Literal["wandb", "tensorboard", "mlflow"]

PROJECT = "headstart"
"""W&B's project and MLflow's experiment where no run is on."""

_LONGEST_PARAM = 6000
"""Characters that MLflow takes of a parameter."""

INSTALL = "pip install 'headstart[trackers]'"


class Tracker(ABC):
    """Where what happens is written to."""

    @abstractmethod
    def config(self, settings: Mapping[str, Any]) -> None:
        """Note the settings."""

    @abstractmethod
    def scalars(self, numbers: Mapping[str, float], step: int) -> None:
        """Note numbers at a step, such as an epoch; series may have steps of their own."""

    @abstractmethod
    def figure(self, name: str, figure: Any) -> None:
        """Keep a picture: a matplotlib figure, or the path of a PNG."""

    @abstractmethod
    def embedding(self, name: str, features: np.ndarray, labels: Sequence[Any]) -> None:
        """Keep features `[n, d]` with their labels for looking at."""

    @abstractmethod
    def summary(self, numbers: Mapping[str, float]) -> None:
        """Note the outcome."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is waiting; end what the tracker itself began."""


class WandbTracker(Tracker):
    """Weights & Biases: the run that is on, or a new one. `WANDB_MODE=offline` keeps it on this machine.

    Parameters
    ----------
    name
        Of a new run.
    folder
        Where a new run keeps its files; wandb's default if None.
    """

    def __init__(self, name: str | None = None, folder: Path | None = None) -> None:
        self.wandb = require("wandb")
        self.own = self.wandb.run is None
        self.run = self.wandb.init(project=PROJECT, name=name, dir=folder) if self.own else self.wandb.run
        self.steps: set[str] = set()

    def config(self, settings: Mapping[str, Any]) -> None:
        self.run.config.update(dict(settings), allow_val_change=True)

    def scalars(self, numbers: Mapping[str, float], step: int) -> None:
        for name in numbers:
            if name not in self.steps:  # W&B's own step only ever grows; a series counts for itself
                axis = f"{name.rpartition('/')[0]}/step".lstrip("/")
                self.run.define_metric(name, step_metric=axis)
                self.steps.add(name)
        axes = {f"{name.rpartition('/')[0]}/step".lstrip("/"): step for name in numbers}
        self.run.log({**numbers, **axes})

    def figure(self, name: str, figure: Any) -> None:
        from pipelines.report.figures import as_pixels

        self.run.log({name: self.wandb.Image(str(figure) if isinstance(figure, Path) else as_pixels(figure))})

    def embedding(self, name: str, features: np.ndarray, labels: Sequence[Any]) -> None:
        columns = ["label", *(f"feature_{number}" for number in range(features.shape[1]))]
        rows = [[str(label), *row] for label, row in zip(labels, features.tolist(), strict=True)]
        self.run.log({name: self.wandb.Table(columns=columns, data=rows)})

    def summary(self, numbers: Mapping[str, float]) -> None:
        self.run.summary.update(dict(numbers))

    def finish(self) -> None:
        if self.own:
            self.run.finish()


class TensorBoardTracker(Tracker):
    """TensorBoard.

    Parameters
    ----------
    writer
        A `SummaryWriter` of the user's, or the folder for a new one.
    """

    def __init__(self, writer: Any) -> None:
        self.own = isinstance(writer, str | Path)
        if self.own:
            require("tensorboard")
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(writer))
        self.writer = writer

    def config(self, settings: Mapping[str, Any]) -> None:
        told = json.dumps(dict(settings), indent=2, default=str, ensure_ascii=False)
        self.writer.add_text("config", "\n".join(f"    {line}" for line in told.splitlines()))

    def scalars(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def figure(self, name: str, figure: Any) -> None:
        from pipelines.report.figures import as_pixels

        if isinstance(figure, Path):
            from PIL import Image

            with Image.open(figure) as picture:
                self.writer.add_image(name, np.asarray(picture.convert("RGB")), dataformats="HWC")
        else:
            self.writer.add_image(name, as_pixels(figure), dataformats="HWC")

    def embedding(self, name: str, features: np.ndarray, labels: Sequence[Any]) -> None:
        rows = [" ".join(str(label).split()) for label in labels]  # a tab or a new line would be one more column or row
        self.writer.add_embedding(features, metadata=rows, tag=name)

    def summary(self, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value)

    def finish(self) -> None:
        self.writer.flush()
        if self.own:
            self.writer.close()


class MlflowTracker(Tracker):
    """MLflow: the run that is on, or a new one, in the store that MLflow itself would choose.

    Where that is says `MLFLOW_TRACKING_URI`, and by default it is a file `mlflow.db` in the working directory. A new run is in
    the experiment that `mlflow.set_experiment` or `MLFLOW_EXPERIMENT_NAME` says, or else in `headstart`.

    Parameters
    ----------
    name
        Of a new run.
    """

    def __init__(self, name: str | None = None) -> None:
        mlflow = require("mlflow")
        self.client = mlflow.MlflowClient()
        active = mlflow.active_run()
        self.own = active is None
        self.run = self.client.create_run(self._experiment(), run_name=name).info.run_id if self.own else active.info.run_id

    def config(self, settings: Mapping[str, Any]) -> None:
        noted = self.client.get_run(self.run).data.params  # which MLflow lets nobody change
        for name, value in _leaves(settings):
            if name not in noted:
                self.client.log_param(self.run, name, value[:_LONGEST_PARAM])
        self.client.log_dict(self.run, json.loads(json.dumps(dict(settings), default=str)), "config.yaml")

    def scalars(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self.client.log_metric(self.run, name, float(value), step=step)

    def figure(self, name: str, figure: Any) -> None:
        if isinstance(figure, Path):
            self.client.log_artifact(self.run, str(figure), str(Path(name).parent))
        else:
            self.client.log_figure(self.run, figure, f"figures/{name}.png")

    def embedding(self, name: str, features: np.ndarray, labels: Sequence[Any]) -> None:
        import pandas as pd

        table = pd.DataFrame(features, columns=[f"feature_{number}" for number in range(features.shape[1])])
        table.insert(0, "label", [str(label) for label in labels])
        with tempfile.TemporaryDirectory() as folder:
            table.to_parquet(Path(folder) / f"{name}.parquet")
            self.client.log_artifact(self.run, str(Path(folder) / f"{name}.parquet"))

    def summary(self, numbers: Mapping[str, float]) -> None:
        self.scalars(numbers, 0)

    def finish(self) -> None:
        if self.own:
            self.client.set_terminated(self.run)

    def _experiment(self) -> str:
        if told := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return told
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(name)
        return found.experiment_id if found else self.client.create_experiment(name)


def check_trackers(names: Sequence[TrackerName]) -> None:
    """See that the packages of trackers are installed; raises `UsageError` with the command if not."""
    for name in names:
        require(name)


def make_tracker(name: TrackerName, folder: Path) -> Tracker:
    """Begin to track a run in its folder."""
    if name == "mlflow":
        return MlflowTracker(folder.name)
    return WandbTracker(folder.name, folder) if name == "wandb" else TensorBoardTracker(folder / "tensorboard")


def trackers_of(use_wandb: bool, writer: Any, use_mlflow: bool) -> list[Tracker]:
    """Return the trackers of a trainer: those of the runs that are on, and a `SummaryWriter` of the user's if there is one."""
    wanted: list[Tracker] = [WandbTracker()] if use_wandb else []
    wanted += [TensorBoardTracker(writer)] if writer is not None else []
    return [*wanted, *([MlflowTracker()] if use_mlflow else [])]


def _leaves(settings: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield what is at the ends of nested settings, under names such as `data.path` and `heads.0.kind`."""
    inner = enumerate(settings) if isinstance(settings, list | tuple) else settings.items()
    for key, value in inner:
        nested = isinstance(value, Mapping) or (isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value))
        if nested and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def require(package: str) -> Any:
    """Import a package; raises `UsageError` with the command that installs it if it is not there."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UsageError(f"{package} is not installed; {INSTALL}") from error
