"""``kit build``: engines of a published repository, built on the device that serves them.

A model's folder stays whole: the engine and what is known of it are put in by the same exchange that publishes a model.
"""

from __future__ import annotations

from kit.building.making import Made, commands, make
from kit.building.tasks import Asked, Task, tasks

__all__ = ["Asked", "Made", "Task", "commands", "make", "tasks"]
