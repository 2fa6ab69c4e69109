"""The cells of a comparison: what each depends on, and in which order they run."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from extract import Samples
from extract.devices import choose_device
from extract.extractor import make_recipe, match_samples, settle_precision
from pipelines.combinations import is_tokens
from pipelines.compare.cells import EXTRACTION, Cell
from pipelines.compare.methods import runnable_methods, training_length, trial_params
from pipelines.compare.split import Split, make_split
from pipelines.compare_config import CACHED, Method
from pipelines.config import Config
from pipelines.errors import UsageError
from pipelines.extract import Prospect, load_data, spec_of
from pipelines.models.freezing import refuse_float16
from pipelines.task import Task, check_samples

_TRAINING = ("batch_size", "weight_decay", "warmup", "schedule", "layer_decay")
_OF_METHODS: dict[str, tuple[str, ...]] = {"partial": ("top_blocks",), "lora": ("rank",)}


def check_comparison(config: Config) -> None:
    """See that a config is one that can be compared.

    Raises
    ------
    UsageError
        With the line of what cannot be.
    """
    if config.kind != "classification":
        raise UsageError(f"{config.where('data', 'label')}: a comparison is of one label a sample, not of {config.kind}")
    if config.data.streams:
        raise UsageError(f"{config.where('data')}: a comparison reads its samples many times, and these stream; take a part")
    if len(config.backbones) > 1:
        raise UsageError(f"{config.where('backbones')}: a comparison is of one backbone; leave one, or run it once for each")
    if config.backbones[0].views is not None:
        raise UsageError(f"{config.where('backbones', 0, 'views')}: a comparison takes no views; see `compare.augment`")
    methods = runnable_methods(config.compare, config.where("compare", "methods"))
    if not set(methods) <= set(CACHED):
        refuse_float16(config.backbones[0].precision, f"{config.where('backbones', 0, 'precision')}: ")


@dataclass(frozen=True)
class Plan:
    """What is compared, on what.

    Attributes
    ----------
    methods
        In the order they run.
    kind
        The samples' kind.
    common
        What all cells depend on.
    outputs
        The features' outputs.
    """

    config: Config
    task: Task
    methods: tuple[Method, ...]
    kind: str
    common: dict[str, Any]
    outputs: tuple[str, ...]

    def split(self, size: int | str, seed: int) -> Split:
        """Return the samples of one repetition."""
        return make_split(self.task, size, seed, self.config.compare.validation)

    def cells(self, method: Method, size: int | str, seed: int, split: Split) -> list[Cell]:
        """Return the cells of one method's search: one a trial; of cached features one for all, which share their reading."""
        choice = self.config.compare
        vectors = [name for name in self.outputs if not is_tokens(name)]
        settings = self.common | {"outputs": vectors if method == "layers" else [main_output(vectors)]}
        trials = trial_params(method, choice, self.kind)
        if method in CACHED:
            trials = [{"C": [trial["C"] for trial in trials]}]
        else:
            own = (*_TRAINING, *_OF_METHODS.get(method, ()), *(("augment",) if self.kind == "image" else ()))
            settings |= {name: getattr(choice, name) for name in own}
            settings |= dict(zip(("epochs", "patience"), training_length(choice, len(split.train)), strict=True))
        return [Cell(method, seed, size, params, settings, split) for params in trials]


def make_plan(config: Config, task: Task, features: Any, samples: Samples) -> Plan:
    """Put together what is compared, once the features are there."""
    common = {
        "recipe": features.recipe.id,
        "metric": config.metric,
        "classes": len(task.classes),
        "device": choose_device(config.device).partition(":")[0],
    }
    methods = runnable_methods(config.compare, config.where("compare", "methods"))
    return Plan(config, task, methods, samples.kind or "text", common, features.outputs)


def extraction_cell(config: Config) -> Cell:
    """Return the cell of the extraction, without loading the backbone."""
    device = choose_device(config.device)
    spec = spec_of(config.backbones[0])
    samples, checkpoint = match_samples(load_data(config.data), spec)
    recipe = make_recipe(checkpoint, spec, settle_precision(checkpoint, spec, device))
    kind = checkpoint.offer.takes
    check_samples(config, Prospect([], samples, samples.promising(kind), kind == "text"))
    keys = samples.admit(kind).keys
    asked = config.outputs if not isinstance(config.outputs, list) else [choice.model_dump() for choice in config.outputs]
    settings = {
        "recipe": recipe.id,
        "samples": hashlib.blake2b(np.ascontiguousarray(keys).tobytes(), digest_size=16).hexdigest(),
        "asked": asked,
        "loop": config.loop.model_dump(),
        "device": device.partition(":")[0],
        "classes": 0,
        "outputs": [],
    }
    return Cell(EXTRACTION, 0, "all", {}, settings, None)


def main_output(outputs: Sequence[str]) -> str:
    """Return the output that is compared with fine-tuning through it: the backbone's own, or the first of the highest layer."""

    def height(name: str) -> float:
        match = re.match(r"layer(\d+)\.", name)
        return float("inf") if match is None else float(match[1])

    return max(outputs, key=height)
