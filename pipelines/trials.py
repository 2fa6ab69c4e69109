"""Trials: every head with every choice of its parameters, on every combination of outputs, validated."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from extract import Features
from heads import TrialReport, gives_probabilities, head_class, make_head
from pipelines.backbone_config import Backbone
from pipelines.class_texts import OUTPUT, check_templates, class_embeddings, has_texts
from pipelines.columns import Columns, read_columns
from pipelines.combinations import Combination, combine, is_tokens
from pipelines.config import Config, Head, MisplacedError
from pipelines.errors import TrainingError, UsageError
from pipelines.extract import Extraction
from pipelines.lessons import count_sweep_rows, sweep_groups, sweep_lesson
from pipelines.search import Space, check_search, count_trials, make_sweep
from pipelines.spaces import Range
from pipelines.task import Task

SCORES = {
    "classification": ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted"),
    "multilabel": ("f1_macro", "f1_micro", "accuracy"),
    "regression": ("r2", "neg_mean_absolute_error", "neg_root_mean_squared_error"),
}
"""What every trial is scored by, besides the metric that decides."""


class Score(NamedTuple):
    """A trial's mean and standard deviation over the folds; NaN where it failed."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Trial:
    """One head configuration on one combination of outputs of one backbone, validated.

    Attributes
    ----------
    outputs
        Their features stand side by side.
    width
        How many features that makes.
    scores
        Metric -> score.
    folds
        Metric -> score on each fold.
    fit_seconds
        Mean over the folds.
    error
        Why it failed, or None.
    dropped_at
        How much of the resource it had when successive halving went on without it, or None; its scores are on that little.
    settings
        What tells its backbone from others of the same name.
    given
        Parameters that no trial tries: widths of blocks, embeddings of classes, the device.
    """

    head: str
    params: dict[str, Any]
    backbone: str
    recipe: str
    outputs: Combination
    width: int
    scores: dict[str, Score]
    folds: dict[str, tuple[float, ...]]
    fit_seconds: float
    error: str | None = None
    dropped_at: int | None = None
    settings: str = ""
    given: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def eligible(self) -> bool:
        """Whether it may be chosen."""
        return self.error is None and self.dropped_at is None

    @property
    def output(self) -> str:
        """The outputs' names, with `+` between them."""
        return "+".join(self.outputs)


def check_heads(config: Config) -> None:
    """See that every head in a config exists, and that its parameters do and can have these values, before it costs time.

    Raises
    ------
    UsageError
        With the line of the one that does not.
    """
    parameters: dict[int, set[str]] = {}
    spaces: dict[int, Space] = {}
    for number, head in enumerate(config.heads):
        try:
            spaces[number] = head.space()
        except MisplacedError as error:
            raise UsageError(f"{config.where('heads', number, *error.place)}: {error}") from error
        try:
            kind = head_class(head.kind, family(config.kind))
        except ValueError as error:
            raise UsageError(f"{config.where('heads', number, 'kind')}: {error}") from error
        for name, values in spaces[number].items():
            if not values:
                raise UsageError(f"{config.where('heads', number, name)}: `{name}` has no value to try")
            for place, value in enumerate(_values(values)):
                try:
                    make_head(head.kind, family(config.kind), **{name: value})
                except ValueError as error:
                    raise UsageError(f"{config.where('heads', number, name, place)}: {error}") from error
        parameters[number] = set(kind().get_params())
    check_templates(config)
    check_search(config, parameters, spaces)
    asked = [key for key in ("thresholds", "calibrate", "conformal") if getattr(config, key) is not None]
    for number, head in enumerate(config.heads if asked and config.kind != "regression" else ()):
        if not gives_probabilities(_first_of(head, config.kind)):
            where = config.where("heads", number, "kind")
            raise UsageError(f"{where}: `{head.kind}` has no probabilities, which `{asked[0]}` needs; leave one of them out")


def check_outputs(config: Config, kept: Sequence[Sequence[str]]) -> None:
    """See that every head finds the outputs that it names with one backbone at least, given what is kept of each.

    Raises
    ------
    UsageError
        With the line of the one that does not.
    """
    for number, head in enumerate(config.heads):
        faults = []
        for available in kept:
            try:
                found = combine(head.outputs or "each", _fitting(head, available, config.kind))
            except ValueError as error:
                faults.append(str(error))
                continue
            if all(map(is_tokens, {name for outputs in found for name in outputs})) and not _takes_tokens(head, config.kind):
                faults.append(f"`{head.kind}` takes a vector a sample, and {found[0][0]} holds tokens; name another output")
        if len(faults) == len(kept):
            raise UsageError(f"{config.where('heads', number, 'outputs')}: {faults[-1]}")


def check_folds(config: Config, task: Task) -> None:
    """See that there are samples, or groups, enough to validate trials on.

    Raises
    ------
    TrainingError
        With the line of the number of folds.
    """
    try:
        task.splitter(config.selection.folds, config.selection.seed)
    except ValueError as error:
        where = config.where("selection", "folds")
        raise TrainingError(f"{where}: trials cannot be validated: {error}; set `selection.folds` lower") from error


def count_all_trials(config: Config, extraction: Extraction, task: Task) -> int:
    """Count the trials that `run_trials` will run.

    Raises
    ------
    TrainingError
        If trials cannot be validated.
    UsageError
        With the line of a head whose outputs no backbone has, or of a search that these samples are too few for.
    """
    check_folds(config, task)
    folds = _count_folds(config, task)
    classes = 1 if task.kind == "regression" else len(np.unique(task.labels[task.development]))
    try:
        return sum(
            count_trials(config.search, head.space(), _count_rows(features, extraction, task, head.kind), folds, classes)
            for _, features, _, heads in plan(config, extraction)
            for head in heads
        )
    except ValueError as error:
        raise UsageError(f"{config.where('search')}: {error}") from error


def run_trials(
    config: Config, extraction: Extraction, task: Task, on_trial: Callable[[float, bool], None] | None = None
) -> list[Trial]:
    """Validate every trial on the task's development samples; return them in the order tried.

    Parameters
    ----------
    config, extraction, task
        What to do, on what.
    on_trial
        Told after every trial its score on the metric that decides, and whether it failed.

    Raises
    ------
    TrainingError
        If trials cannot be validated.
    """
    metric = config.metric
    check_folds(config, task)
    folds = task.folds(config.selection.folds, config.selection.seed)
    trials: list[Trial] = []
    settings = extraction.settings

    def tell(report: TrialReport) -> None:
        if on_trial is not None:
            on_trial(report.scores[metric], report.error is not None)

    for backbone, features, outputs, heads in plan(config, extraction):
        columns = read_columns(features, outputs, task.rows, extraction.views.get(features.recipe.id), extraction.memory)
        development = task.development
        groups = None if task.groups is None else task.groups[development]
        for head in heads:
            blocks = {"blocks": list(columns.widths)} if _has_parameter(head.kind, task.kind, "blocks") else {}
            given = blocks | _place(head, config) | class_embeddings(head, backbone, features, outputs, task, config.device)
            built = build(head.kind, given, task.kind)
            X, y, splits = sweep_lesson(columns, development, task.labels[development], folds, built)
            scoring = [metric, *sorted(set(SCORES[task.kind]) - {metric})]
            sweep = make_sweep(config.search, built, head.space(), scoring, splits, tell)
            try:
                sweep.fit(X, y, groups=sweep_groups(columns, development, groups, built))
            except Exception as error:  # every trial of this head failed; others may not
                if not hasattr(sweep, "cv_results_"):
                    raise TrainingError(f"{head.kind}: {error}") from error
            width = sum(columns.widths)
            found = _read_trials(sweep.cv_results_, config.search.resource, head.kind, features, outputs, width)
            trials += [dataclasses.replace(trial, settings=settings[trial.recipe], given=given) for trial in found]
    return trials


def columns_of(trial: Trial, extraction: Extraction, task: Task) -> Columns:
    """Read the features that a trial is on."""
    features = next(features for features in extraction.features if features.recipe.id == trial.recipe)
    return read_columns(features, trial.outputs, task.rows, extraction.views.get(trial.recipe), extraction.memory)


def build(kind: str, params: dict[str, Any], task: str) -> BaseEstimator:
    """Build an unfitted head for a kind of task."""
    return make_head(kind, family(task), **params)


def family(task: str) -> str:
    """Return which heads a kind of task takes: `classification`, also of several labels, or `regression`."""
    return "regression" if task == "regression" else "classification"


def _has_parameter(kind: str, task: str, name: str) -> bool:
    return name in head_class(kind, family(task))().get_params()


def _place(head: Head, config: Config) -> dict[str, str]:
    """Return where a head computes, if that is named for all of the experiment and not for this head."""
    place = config.head_device
    is_open = _has_parameter(head.kind, config.kind, "device") and "device" not in head.space()
    return {"device": place} if place != "auto" and is_open else {}


def _count_rows(features: Features, extraction: Extraction, task: Task, kind: str) -> int:
    """Count the rows that a sweep of a head is fitted to."""
    samples, choice = len(task.development), extraction.views.get(features.recipe.id)
    if choice is None or features.views is None:
        return samples
    return count_sweep_rows(samples, 1 + features.views.count, choice.use, build(kind, {}, task.kind))


def _count_folds(config: Config, task: Task) -> int:
    return 1 if task.validation is not None else config.selection.folds


def plan(config: Config, extraction: Extraction) -> Iterator[tuple[Backbone, Features, Combination, list[Head]]]:
    """Go through every combination of every backbone, with the heads that are tried on it."""
    check_outputs(config, [features.outputs for features in extraction.features])
    for backbone, features in zip(config.backbones, extraction.features, strict=True):
        heads: dict[Combination, list[Head]] = {}
        for head in config.heads:
            asked = head.outputs or _usual_outputs(head, backbone, features, config.kind)
            combinations: list[Combination] = []
            with suppress(ValueError):  # where it names outputs of another backbone
                combinations = combine(asked, _fitting(head, features.outputs, config.kind))
            for outputs in combinations:
                chosen = heads.setdefault(outputs, [])
                if not any(_is_same(head, other, config.kind) for other in chosen):
                    chosen.append(head)
        yield from ((backbone, features, outputs, chosen) for outputs, chosen in heads.items())


def _fitting(head: Head, available: Sequence[str], task: str) -> Sequence[str]:
    """Return the outputs that a head is tried on unasked: of one that takes a vector a sample, no tokens."""
    if head.outputs is not None or _takes_tokens(head, task):
        return available
    return [name for name in available if not is_tokens(name)] or available


def _takes_tokens(head: Head, task: str) -> bool:
    return bool(getattr(_first_of(head, task), "takes_tokens", False))


def _first_of(head: Head, task: str) -> BaseEstimator:
    """Return a head with the first value of each of its parameters."""
    return build(head.kind, {name: next(iter(_values(values))) for name, values in head.space().items()}, task)


def _values(values: Any) -> Sequence[Any]:
    return values.ends() if isinstance(values, Range) else values


def _usual_outputs(head: Head, backbone: Backbone, features: Features, task: str) -> str:
    if _has_parameter(head.kind, task, "blocks"):
        return "all"
    return OUTPUT if head.kind == "zero_shot" and OUTPUT in features.outputs and has_texts(backbone.name) else "each"


def _is_same(head: Head, other: Head, task: str) -> bool:
    """Whether two heads are tried alike on the same outputs; two kinds may be one, as `linear` and `ridge` are for numbers."""
    one, two = ((head_class(tried.kind, family(task)), tried.space(), tried.templates) for tried in (head, other))
    return one == two


def _read_trials(
    results: dict[str, Any], resource: str, kind: str, features: Features, outputs: Combination, width: int
) -> list[Trial]:
    names = [key.removeprefix("mean_test_") for key in results if key.startswith("mean_test_")]
    splits = sum(key.startswith("split") and key.endswith(f"_test_{names[0]}") for key in results)
    rungs = results.get("iter", np.zeros(len(results["params"]), int))
    last = {repr({k: v for k, v in params.items() if k != resource}): n for n, params in enumerate(results["params"])}
    return [
        Trial(
            head=kind,
            params={k: v.item() if isinstance(v, np.generic) else v for k, v in results["params"][number].items()},
            backbone=features.recipe.backbone,
            recipe=features.recipe.id,
            outputs=outputs,
            width=width,
            scores={
                name: Score(float(results[f"mean_test_{name}"][number]), float(results[f"std_test_{name}"][number]))
                for name in names
            },
            folds={
                name: tuple(float(results[f"split{split}_test_{name}"][number]) for split in range(splits)) for name in names
            },
            fit_seconds=float(results["mean_fit_time"][number]),
            error=results["error"][number],
            dropped_at=None if rungs[number] == rungs.max() else int(results["n_resources"][number]),
        )
        for number in sorted(last.values())
    ]
