"""What a model's outputs stand for: one class a sample, several labels, or numbers; a file each, and `base` for all."""

from pipelines.objectives.base import Objective
from pipelines.objectives.catalog import TASKS, AskedTask, read_task
from pipelines.objectives.classes import Classes
from pipelines.objectives.labels import Labels
from pipelines.objectives.numbers import Numbers

__all__ = ["TASKS", "AskedTask", "Classes", "Labels", "Numbers", "Objective", "read_task"]
