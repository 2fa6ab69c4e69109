"""Tasks by name: which kind of samples a backbone is to take, and what the model says of them."""

from typing import NamedTuple

from pipelines.errors import UsageError
from pipelines.models.objectives.base import Objective
from pipelines.models.objectives.classes import Classes
from pipelines.models.objectives.labels import Labels
from pipelines.models.objectives.numbers import Numbers
from pipelines.names import nearest

OBJECTIVES: dict[str, type[Objective]] = {objective.kind: objective for objective in (Classes, Labels, Numbers)}
"""Kind of target -> what knows it."""


class AskedTask(NamedTuple):
    """What a task's name says: the kind of samples (None: what the backbone takes first), and the kind of target."""

    samples: str | None
    targets: str


_SAMPLES = {"text": "text", "image": "image", "image_text": "image and text"}

TASKS: dict[str, AskedTask] = {
    **{kind: AskedTask(None, kind) for kind in OBJECTIVES},
    **{f"{name}_{kind}": AskedTask(samples, kind) for name, samples in _SAMPLES.items() for kind in OBJECTIVES},
    "sentiment_analysis": AskedTask("text", "classification"),
}
"""`classification`, `multilabel` and `regression`, alone or as `text_...`, `image_...` and `image_text_...`; and one more."""


def read_task(name: str) -> AskedTask:
    """Return what a task's name says; raises `UsageError` with the nearest name if there is no such task."""
    if name not in TASKS:
        raise UsageError(f"task {name!r} is not one; {nearest(name, TASKS)}")
    return TASKS[name]
