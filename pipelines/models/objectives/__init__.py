"""What a model's outputs stand for: one class a sample, several labels, or numbers; a file each, and `base` for all."""

from pipelines.models.objectives.base import Objective
from pipelines.models.objectives.catalog import TASKS, AskedTask, read_task
from pipelines.models.objectives.classes import Classes
from pipelines.models.objectives.labels import Labels
from pipelines.models.objectives.numbers import Numbers

__all__ = ["TASKS", "AskedTask", "Classes", "Labels", "Numbers", "Objective", "read_task"]
