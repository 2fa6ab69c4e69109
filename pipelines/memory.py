"""Features that do not fit into memory: which heads are trained on them from disk."""

from heads import head_class
from heads.catalog import TASKS
from heads.trained import TrainedHead
from pipelines.columns import count_bytes
from pipelines.combinations import shorten
from pipelines.config import Config, Head
from pipelines.errors import UsageError
from pipelines.extract import Extraction
from pipelines.task import Task
from pipelines.trials import family, plan

FROM_DISK = {"kind": "mlp", "hidden": [[], [512]], "lr": [1e-3, 3e-4]}
"""Tried where no head is named and features do not fit: a linear head and a layer more, both trained in steps."""


def settle_heads(config: Config, extraction: Extraction, task: Task) -> tuple[Config, list[str]]:
    """See that every head can be trained on its features, from disk where they do not fit into memory.

    Where the config names no heads, others take the place of those that cannot.

    Returns
    -------
    Config, list of str
        The config with the heads that are tried, and what the user should know.

    Raises
    ------
    UsageError
        With the line of a head that cannot, and what can.
    """
    numbers = {id(head): number for number, head in enumerate(config.heads)}
    replaced: set[int] = set()
    for _, features, outputs, heads in plan(config, extraction):
        size = count_bytes(features, outputs, len(task.rows))
        if extraction.memory is None or size <= extraction.memory or features.recipe.id in extraction.views:
            continue
        for head in heads:
            if _from_disk(head.kind, task):
                continue
            told = (
                f"`{head.kind}` takes features in memory, and those of {shorten(outputs)} have {size / 1e9:.3g} GB of at most "
                f"{extraction.memory / 1e9:.3g} GB; `memory:` sets the limit"
            )
            if not config.heads_are_default:
                able = [kind for kind in TASKS[family(task.kind)] if _from_disk(kind, task)]
                place = config.where("heads", numbers[id(head)])
                raise UsageError(f"{place}: {told}, and heads that train from disk are {', '.join(able)}")
            replaced.add(numbers[id(head)])
    if not replaced:
        return config, []
    heads = [
        Head.model_validate(FROM_DISK | {"outputs": head.outputs}) if number in replaced else head
        for number, head in enumerate(config.heads)
    ]
    return config.model_copy(update={"heads": heads}), [f"{told}; `mlp` heads are trained on them from disk instead"]


def _from_disk(kind: str, task: Task) -> bool:
    return issubclass(head_class(kind, family(task.kind)), TrainedHead)
