"""The last layer against all layers: `python -m benchmarks.layers [--data NAME] [--way NAME] [--store DIR]`.

Each way is a set of trials of one grid, the same for all data sets and written down before any test figure was seen. A way's
trial is picked by cross-validation on the development samples alone, fitted on all of them, and answers once for the test
samples. Data are those of the configs of the same names; all-MiniLM-L6-v2's layers are extracted where the store lacks them.
"""

import argparse
import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tables
from heads import Estimate, classification_metrics, greedy_weights, mcnemar, mean_prediction, score_predictions
from pipelines.choice import rank
from pipelines.config import Config, Head
from pipelines.config_file import load_config
from pipelines.extract import Extraction, extract_config
from pipelines.held_out import fit_on_development, hold_out_predictions, predict_raw, true_codes
from pipelines.task import Task, make_task
from pipelines.trials import Trial, columns_of, run_trials

ROOT = Path(__file__).parents[1]
DATA = ("trec", "r8", "movie_reviews", "demo")
OUTPUTS = [{"pooling": "pooled"}, {"layer": "all", "pooling": ["cls", "mean", "max"]}]
MEANS, ALL = "layer*.mean", "layer*"
PLAIN = {"kind": "linear", "C": [1e-1, 1, 10, 100]}
SCALED = {"kind": "linear", "standardize": True, "C": [1e-3, 1e-2, 1e-1, 1]}
WHITENED = {"kind": "linear", "standardize": True, "whiten": [1, 10], "C": [1e-3, 1e-2, 1e-1, 1]}
GROUP_LASSO = {"kind": "group_lasso", "keep": [0.1, 0.25, 0.5], "whiten": [None, 1], "C": [1e-2, 1e-1]}
GREEDY = {"kind": "greedy", "whiten": [None, 1], "C": [1e-2, 1e-1]}
LAST, TOGETHER, MEMBERS = "last layer", "ways together", 10
WAYS: dict[str, list[dict[str, Any]]] = {
    LAST: [PLAIN | {"outputs": "first"}, SCALED | {"outputs": "first"}],
    "all means": [SCALED | {"outputs": MEANS}, WHITENED | {"outputs": MEANS}],
    "all layers x cls, mean, max": [SCALED | {"outputs": ALL}, WHITENED | {"outputs": ALL}],
    "group lasso of all": [GROUP_LASSO | {"outputs": ALL}],
    "greedy of all": [GREEDY | {"outputs": ALL}],
    "learned mix of means": [{"kind": "layer_mix", "outputs": MEANS, "hidden": [[], [256]]}],
    "MLP on all means": [{"kind": "mlp", "outputs": MEANS, "hidden": [[256]], "dropout": 0.5, "mixup": [0, 0.2]}],
    "LDA on all means": [{"kind": "lda", "outputs": MEANS}],
    "ridge on all means": [{"kind": "ridge", "outputs": MEANS}],
}
FOLDS = 3


@dataclass(frozen=True)
class Answer:
    """What a way's trial (None for all ways together) says of the test samples `[t, c]`, and where it is right `[t]`."""

    trial: Trial | None
    validation: float
    raw: np.ndarray
    right: np.ndarray
    accuracy: Estimate
    seconds: float


def main() -> None:
    """Sweep, test and print a table per data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=DATA, action="append", help="some data sets only")
    parser.add_argument("--way", choices=list(WAYS), action="append", help="some ways only, beside the last layer")
    parser.add_argument("--ensemble", action="store_true", help="also the ways together, weighted on held-out predictions")
    parser.add_argument("--store", default="features", help="where features are kept")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.data or DATA:
        changes = [f"store={Path(options.store).resolve()}", f"outputs={json.dumps(OUTPUTS)}", f"selection.folds={FOLDS}"]
        config = load_config(ROOT / "configs" / f"{name}.yaml", changes)
        if not Path(str(config.data.path)).exists():
            print(f"{config.data.path} is not here\n")
            continue
        extraction = extract_config(config)
        task = make_task(extraction, config)
        print(f"\n{name}: {len(task.development):,} samples to choose on, {task.test.sum():,} to test on\n", flush=True)
        answers: dict[str, Answer] = {}
        for way in [LAST, *(way for way in options.way or WAYS if way != LAST)]:
            answers[way] = answer(WAYS[way], config, extraction, task)
            print(f"  {way}: {answers[way].accuracy.value:.3f}, {answers[way].seconds:.0f} s", flush=True)
        if options.ensemble:
            answers[TOGETHER] = together(
                sorted(answers.values(), key=lambda found: -found.validation), config, extraction, task
            )
        best = max(answers, key=lambda way: answers[way].validation)
        print()
        print(tables.markdown(HEADINGS, [row(way, answers, chosen=way == best) for way in answers]))


HEADINGS = (
    "way",
    "chosen trial",
    "validation",
    "test, 95% interval",
    "right / wrong where the last layer is not, p",
    "processor",
)


def answer(heads: list[dict[str, Any]], config: Config, extraction: Extraction, task: Task) -> Answer:
    """Pick a trial by validation and test it."""
    began = time.process_time()
    config = config.model_copy(update={"heads": [Head.model_validate(head) for head in heads]})
    trial = rank(run_trials(config, extraction, task), config.metric)[0]
    columns = columns_of(trial, extraction, task)
    raw = predict_raw(fit_on_development(trial, columns, task), columns.X[task.test], task)
    return _judge(trial, trial.scores["accuracy"].mean, raw, task, began)


def together(answers: list[Answer], config: Config, extraction: Extraction, task: Task) -> Answer:
    """Let ways answer together, weighted by greedy selection on what their trials say of samples left out."""
    began = time.process_time()
    held = hold_out_predictions([found.trial for found in answers if found.trial], config, extraction, task)
    weights = greedy_weights(held.predictions, lambda mean: score_predictions(mean, held.true, "accuracy"), MEMBERS)
    validation = score_predictions(mean_prediction(held.predictions, weights), held.true, "accuracy")
    return _judge(None, validation, mean_prediction([found.raw for found in answers], weights), task, began)


def _judge(trial: Trial | None, validation: float, raw: np.ndarray, task: Task, began: float) -> Answer:
    predicted, true = raw.argmax(axis=1), true_codes(task, np.flatnonzero(task.test))
    accuracy = classification_metrics(true, predicted, None, len(task.classes))["accuracy"]
    return Answer(trial, validation, raw, predicted == true, accuracy, time.process_time() - began)


def row(way: str, answers: dict[str, Answer], chosen: bool) -> tuple[str, ...]:
    """Write a way's line; the one that validation chooses among all ways is in bold."""
    found, last = answers[way], answers[LAST]
    params = {} if found.trial is None else found.trial.params
    kind = [] if found.trial is None else [found.trial.head]
    named = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in params.items()]
    against = mcnemar(found.right, last.right)
    return (
        f"**{way}**" if chosen else way,
        ", ".join(kind + named),
        f"{found.validation:.3f}",
        f"{found.accuracy.value:.3f} ({found.accuracy.low:.3f} to {found.accuracy.high:.3f})",
        "" if way == LAST else f"{against.only_first} / {against.only_second}, {against.p_mid:.2g}",
        f"{found.seconds:.0f} s",
    )


if __name__ == "__main__":
    main()
