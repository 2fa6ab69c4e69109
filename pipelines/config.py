"""An experiment's config: the models that say what may stand in it, and what stands for what is left out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, PrivateAttr, field_validator, model_validator

from cache.budget import parse_size
from extract.devices import device_or_auto
from extract.sources.streams import always_streams
from pipelines.backbone_config import Backbone, EngineChoice, Loop, OutputChoice, Part
from pipelines.compare_config import CompareChoice
from pipelines.metric_names import METRICS, Metric
from pipelines.spaces import Range, read_space
from pipelines.unfreeze_config import UnfreezeChoice


def change_of(place: Sequence[str | int], changes: Sequence[str]) -> str | None:
    """Return the last `--set` that says what is at a place; None where none does."""
    key = ".".join(map(str, place))
    named = [change for change in changes if f"{key}.".startswith(f"{change.partition('=')[0]}.")]
    return f"--set {named[-1][:80]}" if named else None


class MisplacedError(ValueError):
    """Something in a config does not go with the rest of it; `place` leads there from the part that finds it."""

    def __init__(self, message: str, *place: str | int) -> None:
        super().__init__(message)
        self.place = place


class Data(Part):
    """Where the samples are, and which column is what."""

    path: str | None = Field(None, description="a file or folder; Parquet files and tar shards also by pattern or URL")
    hub: str | None = None
    urls: str | None = Field(None, description="a text file with the URL or path of an image a line")
    streaming: bool = Field(False, description="read a slice at a time; patterns, URLs, tar shards and `urls` always are")
    config: str | None = Field(None, description="configuration of a hub data set")
    revision: str | None = None
    text: str | None = Field(None, description="column of texts; `text`, or else `image`, where neither is named")
    pair: str | None = Field(None, description="column of a second text that goes with the first")
    image: str | None = Field(None, description="column of images: bytes, or paths relative to the file")
    label: str | list[str] | None = Field(None, description="a column, or several columns of 0 and 1: one a label")
    multilabel: bool | str | None = Field(
        None, description="true: the label column holds lists; or what stands between the labels in a text"
    )
    split: str | None = None
    group: str | None = None
    id: str | None = None
    encoding: str = "utf-8"
    test_size: float = Field(0.2, gt=0, lt=1, description="share held out as test where the data have no test split")

    @property
    def streams(self) -> bool:
        """Whether the samples come a slice at a time, and are never in memory together."""
        return self.streaming or self.urls is not None or (self.path is not None and always_streams(self.path))

    @property
    def source(self) -> str:
        """Where the samples are, as sources are named in `extract`."""
        return self.path or (f"hub:{self.hub}" if self.hub is not None else f"urls:{self.urls}")

    @model_validator(mode="after")
    def _one_source(self) -> "Data":
        if sum(place is not None for place in (self.path, self.hub, self.urls)) != 1:
            raise ValueError("give one of `path`, `hub` and `urls`")
        if self.multilabel == "":
            raise ValueError("`multilabel` is empty; name what stands between the labels in a text")
        if self.multilabel and isinstance(self.label, list):
            raise ValueError("give either several columns as `label`, or one with `multilabel`")
        columns = self.label if isinstance(self.label, list) else [self.label]
        if self.group is not None and self.group in columns:
            raise MisplacedError(
                f"`{self.group}` is the label; name a column that says what belongs together, such as a patient or a document",
                "group",
            )
        return self


class Head(BaseModel):
    """A kind of head and the values of its parameters that are tried."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str
    outputs: str | list[str | list[str]] | None = Field(None, description="see `pipelines.combinations`; None: the kind's own")
    templates: list[str] | None = Field(None, description="zero_shot: texts with {} in the place of a class's name")

    def space(self) -> dict[str, list[Any] | Range]:
        """Return parameter -> the values to try, or the range to draw from; see `read_space`.

        Raises
        ------
        MisplacedError
            If what is said of a parameter cannot be read.
        """
        return {name: self._values(name, value) for name, value in (self.model_extra or {}).items()}

    @staticmethod
    def _values(name: str, value: Any) -> list[Any] | Range:
        try:
            return read_space(value)
        except (TypeError, ValueError) as error:
            raise MisplacedError(f"`{name}` cannot be spread: {error}", name) from error


class Selection(Part):
    """How the winner is chosen among the trials."""

    metric: Metric | None = Field(None, description="None: accuracy, f1_macro for several labels, r2 for numbers")
    folds: int = Field(5, ge=2)
    seed: int = Field(0, ge=0)
    rule: Literal["best", "one_standard_error"] = "best"
    nested: bool = Field(False, description="also estimate, by folds around the folds, what choosing a trial is worth")


_ANY_METHOD = ("method", "seed", "backend", "n_jobs", "address")


class Search(Part):
    """How the values of the heads' parameters are tried."""

    method: Literal["grid", "random", "halving", "optuna"] = "grid"
    trials: PositiveInt | None = Field(None, description="drawn of every head; None: 50; halving: all of the grid at first")
    seed: int = Field(0, ge=0)
    factor: float = Field(3, gt=1, description="halving: one in so many goes on, with so many times the resources")
    resource: str = Field("n_samples", description="halving: what grows; `n_samples`, or a parameter of the heads")
    min_resources: PositiveInt | Literal["exhaust", "smallest"] = "exhaust"
    max_resources: PositiveInt | Literal["auto"] = "auto"

    backend: Literal["loky", "threading", "ray", "dask"] | None = Field(
        None, description="joblib's, for heads that no engine solves together; None: loky"
    )
    n_jobs: int | None = Field(None, ge=-1, description="fits at a time; -1: one a processor; None: 1 here, all of a cluster")
    address: str | None = Field(None, description="of the Ray or Dask cluster; None: the one that is there, or a new one here")

    @field_validator("n_jobs")
    @classmethod
    def _some_jobs(cls, value: int | None) -> int | None:
        if value == 0:
            raise ValueError("may be 1 or more, or -1 for one a processor")
        return value

    @property
    def draws(self) -> bool:
        """Whether trials are drawn, and so can be drawn from ranges."""
        return self.method in ("random", "optuna") or (self.method == "halving" and self.trials is not None)

    @model_validator(mode="after")
    def _one_method(self) -> "Search":
        known = {"grid": set(), "random": {"trials"}, "optuna": {"trials"}}.get(self.method, set(Search.model_fields))
        fields = Search.model_fields.items()
        changed = [name for name, field in fields if name not in _ANY_METHOD and getattr(self, name) != field.default]
        if foreign := [name for name in changed if name not in known]:
            raise ValueError(f"`{foreign[0]}` is nothing that `method: {self.method}` knows")
        if self.method == "halving" and self.resource != "n_samples" and self.max_resources == "auto":
            raise ValueError(f"with `{self.resource}` as the resource, name its largest value as `max_resources`")
        return self


def default_heads(kind: str, outputs: str) -> list[dict[str, Any]]:
    """Return the heads that are tried where none are named: on some outputs alone, and on all of them side by side."""
    if kind == "regression":
        ridge = {"kind": "ridge"}
        return [ridge | {"outputs": outputs}, ridge | {"outputs": "all"}]
    return [
        {"kind": "linear", "outputs": outputs, "C": {"log": [1e-2, 1e3, 11]}},
        {"kind": "linear", "outputs": "all", "standardize": True, "whiten": [None, 1, 10], "C": {"log": [1e-4, 1e-1, 4]}},
    ]


def _spelt_out(entries: Any, key: str) -> Any:
    """Put texts in a list, which stand for an entry with this key alone, as such entries."""
    return [{key: entry} if isinstance(entry, str) else entry for entry in entries] if isinstance(entries, list) else entries


class Config(Part):
    """An experiment."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    data: Data
    backbones: list[Backbone] = Field(min_length=1)
    task: Literal["classification", "regression"] = "classification"
    outputs: list[OutputChoice] | Literal["layers"] | None = Field(
        None, description="None: the backbone's usual output; `layers`: that, and every layer's mean"
    )
    heads: list[Head] = Field(min_length=1)
    selection: Selection = Field(default_factory=lambda: Selection.model_validate({}))
    search: Search = Field(default_factory=lambda: Search.model_validate({}))
    unfreeze: UnfreezeChoice = Field(default_factory=lambda: UnfreezeChoice.model_validate({}))
    compare: CompareChoice = Field(default_factory=lambda: CompareChoice.model_validate({}))
    calibrate: Literal["temperature"] | None = None
    thresholds: Literal["f1", "accuracy", "balanced_accuracy"] | None = None
    conformal: float | None = Field(None, gt=0, lt=1, description="how often a prediction set is to hold the true class")
    ensemble: int | None = Field(None, ge=2, description="members of a greedy ensemble of trials")
    store: str = "features"
    max_size: str | None = Field(None, description="how large the store may become, such as 50GB")
    memory: str | None = Field(
        None,
        description="features above this size are trained on from disk, such as 8GB; None: a quarter of the memory",
    )
    evict: bool = Field(False, description="whether to make room by removing recipes that were not used for longest")
    trackers: list[Literal["wandb", "tensorboard", "mlflow"]] = Field(
        default_factory=list, description="where a run is logged to, too"
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|xpu|cuda(:\d+)?)$")
    loop: Loop = Field(default_factory=lambda: Loop.model_validate({}))
    engine: EngineChoice = Field(default_factory=lambda: EngineChoice.model_validate({}))

    _path: Path | None = PrivateAttr(None)
    _lines: dict[tuple[str | int, ...], int] = PrivateAttr(default_factory=dict)
    _changes: tuple[str, ...] = PrivateAttr(())

    def where(self, *place: str | int) -> str:
        """Return `file:line` of a key, or the `--set` that it comes from, for a message about it."""
        if changed := change_of(place, self._changes):
            return changed
        known = [place[:length] for length in range(len(place), 0, -1) if place[:length] in self._lines]
        return f"{self._path}:{self._lines[known[0]]}" if known else str(self._path)

    @property
    def kind(self) -> str:
        """`classification`, `multilabel` or `regression`."""
        return "multilabel" if self.data.multilabel or isinstance(self.data.label, list) else self.task

    @property
    def head_device(self) -> str:
        """Where heads compute that name no device: `cpu`, or a certain GPU, if that is asked for and is here; else `auto`."""
        if self.device == "cpu":
            return "cpu"
        elsewhere = self.search.backend in ("ray", "dask")
        return device_or_auto(self.device) if self.device.startswith("cuda:") and not elsewhere else "auto"

    @property
    def heads_are_default(self) -> bool:
        """Whether the heads are those that are tried where none are named."""
        default = (default_heads(self.task, outputs) for outputs in ("first", "each"))
        return any(self.heads == [Head.model_validate(head) for head in heads] for heads in default)

    @property
    def metric(self) -> str:
        """The scorer that decides."""
        return self.selection.metric or METRICS[self.kind][0]

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, content: Any) -> Any:
        """Where no head is named, layers are tried beside the usual output, unless outputs are named."""
        if isinstance(content, dict) and content.get("heads") is None:
            outputs = content.get("outputs") or "layers"
            heads = default_heads(str(content.get("task")), "first" if outputs == "layers" else "each")
            return content | {"outputs": outputs, "heads": heads}
        return content

    @model_validator(mode="after")
    def _one_kind(self) -> "Config":
        if self.task == "regression" and self.kind != "regression":
            raise MisplacedError("`regression` takes one label column of numbers, without `multilabel`", "task")
        if self.selection.metric is not None and self.selection.metric not in METRICS[self.kind]:
            known = ", ".join(METRICS[self.kind])
            raise MisplacedError(f"`{self.metric}` is no metric of {self.kind}; metrics are {known}", "selection", "metric")
        return self

    @field_validator("max_size", "memory", mode="before")
    @classmethod
    def _is_size(cls, value: Any) -> Any:
        if value is not None:
            parse_size(str(value))
        return None if value is None else str(value)

    @field_validator("backbones", mode="before")
    @classmethod
    def _bare_names(cls, value: Any) -> Any:
        return _spelt_out(value, "name")

    @field_validator("heads", mode="before")
    @classmethod
    def _bare_kinds(cls, value: Any) -> Any:
        return _spelt_out(value, "kind")

    @field_validator("engine", mode="before")
    @classmethod
    def _bare_engine(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @field_validator("outputs", mode="before")
    @classmethod
    def _bare_poolings(cls, value: Any) -> Any:
        return _spelt_out(value, "pooling")

    def to_yaml(self) -> str:
        """Return the config with every default spelt out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
