"""Cautions: what the trials say about being taken in by them, a line each."""

from collections import Counter
from typing import Any

import numpy as np
import yaml

from heads import score_predictions
from pipelines.columns import Columns
from pipelines.config import Config, Head
from pipelines.held_out import predict_raw, true_codes
from pipelines.task import Task
from pipelines.trials import Trial

FAR = 0.1
"""By so much a score on the samples fitted to may lie above the one on samples left out without a word."""
AT_MOST_ONE = {"accuracy", "balanced_accuracy", "f1_macro", "f1_micro", "f1_weighted", "average_precision", "r2"}
LOOKED_AT = 5000
WIDER = 100
"""By so much a range of penalties is widened at the end where the best one lies."""
REMEMBERS = ("knn",)
"""Heads that find every sample they were fitted to: what they say of those means nothing."""


def cautions(
    trials: list[Trial], chosen: Trial, head: Any, columns: Columns, task: Task, config: Config, is_member: bool = False
) -> list[str]:
    """Return what should be known about a choice.

    Parameters
    ----------
    trials, chosen
        All trials, and the one that is used.
    head, columns
        Fitted on all development samples; the features it is on.
    task, config
        What it was chosen for, and the experiment that it was chosen in.
    is_member
        Whether others answer with it, and have a smaller share.
    """
    metric = config.metric
    found = [too_wide(trials, len(task.development)), end_of_range(trials, chosen, config)]
    if metric in AT_MOST_ONE and chosen.head not in REMEMBERS:
        what = "the ensemble's largest member" if is_member else "the chosen trial"
        found.append(by_heart(chosen.scores[metric].mean, _on_its_own_samples(head, columns, task, metric), metric, what))
    return [*failed(trials), *(caution for caution in found if caution is not None)]


def failed(trials: list[Trial]) -> list[str]:
    """Tell which trials failed, and why."""
    failures = Counter((trial.head, trial.error) for trial in trials if trial.error is not None)
    told = []
    for (head, error), count in failures.most_common(5):
        tried = sum(trial.head == head for trial in trials)
        told.append(f"{count:,} of {tried:,} trials of {head} failed: {error}")
    if len(failures) > 5:
        told.append(f"others failed for {len(failures) - 5:,} more reasons; trials.parquet has all")
    return told


def too_wide(trials: list[Trial], samples: int) -> str | None:
    """Tell of trials on more features than there are samples."""
    wide = [trial.width for trial in trials if trial.width > samples]
    if not wide:
        return None
    return (
        f"{len(wide):,} of {len(trials):,} trials have more features (up to {max(wide):,}) than there are samples to train on "
        f"({samples:,}): any labels could be fitted there, and only the validation scores say anything"
    )


def end_of_range(trials: list[Trial], chosen: Trial, config: Config) -> str | None:
    """Tell of a penalty at the end of those tried, where the next one is worse: a better one may lie beyond."""
    metric = config.metric
    others = {name: value for name, value in chosen.params.items() if name != "C"}
    scores = {
        float(trial.params["C"]): trial.scores[metric].mean
        for trial in trials
        if (trial.head, trial.recipe, trial.outputs) == (chosen.head, chosen.recipe, chosen.outputs)
        and "C" in trial.params
        and {name: value for name, value in trial.params.items() if name != "C"} == others
        and np.isfinite(trial.scores[metric].mean)
    }
    tried = sorted(scores)
    if "C" not in chosen.params or len(tried) < 3 or chosen.params["C"] not in (tried[0], tried[-1]):
        return None
    C = float(chosen.params["C"])
    if scores[tried[1] if tried[0] == C else tried[-2]] >= scores[C]:
        return None
    low, high = (tried[0] / WIDER, tried[-1]) if tried[0] == C else (tried[0], tried[-1] * WIDER)
    wider = {"log": [_short(low), _short(high), len(tried) + 2]}
    way = f"widen it in `heads`: `{_flow({'C': wider})}`"
    if config.heads_are_default:
        heads = [_widened(head, chosen, wider) for head in config.heads]
        kept = "`outputs: layers` and " if config.outputs == "layers" else ""
        way = f"to widen it, say what is tried by default: {kept}`{_flow({'heads': heads})}`"
    return f"the best C of {chosen.head}, {C:g}, lies at the end of its range ({tried[0]:g} to {tried[-1]:g}); {way}"


def _short(value: float) -> float | int:
    """Return a number of six digits, which YAML writes without a fraction if it has none."""
    short = float(f"{value:.6g}")
    return int(short) if short.is_integer() and short < 1e6 else short


def _widened(head: Head, chosen: Trial, wider: dict[str, Any]) -> dict[str, Any]:
    """Return a head as a config says it, with another range of penalties if the chosen trial is one of it."""
    content = head.model_dump(mode="json", exclude_none=True)
    return content | {"C": wider} if set(head.space()) == set(chosen.params) else content


def _flow(content: dict[str, Any]) -> str:
    """Write YAML in one line, without the braces around it."""
    return yaml.safe_dump(content, default_flow_style=True, sort_keys=False, width=10_000).strip()[1:-1]


def by_heart(left_out: float, fitted: float, metric: str, what: str = "the chosen trial") -> str | None:
    """Tell of a head that does far better on the samples it was fitted to."""
    if not fitted - left_out > FAR:
        return None
    return (
        f"{what} has {metric} {fitted:.3f} on the samples it was fitted to and {left_out:.3f} on those left out: "
        "it has learnt much of them by heart; more samples, a stronger penalty or fewer features may help"
    )


def _on_its_own_samples(head: Any, columns: Columns, task: Task, metric: str) -> float:
    rows = task.development
    rows = rows[:: max(1, len(rows) // LOOKED_AT)]
    return score_predictions(predict_raw(head, columns.X[rows], task), true_codes(task, rows), metric)
