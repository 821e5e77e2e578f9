"""Libraries that run outside the kit's own environment: heavy ones, and those whose pins fight others'.

Each has a locked environment (``locks/<name>.txt``: exact versions with hashes), made on first use in the user's cache
folder, and scripts of ours run there as ``Worker``. The user's own environment stays as it is.
"""

from __future__ import annotations

from kit.environments.making import Environment, ensure, find, is_made, names, packages_version, place, prepare
from kit.environments.recipe import Recipe
from kit.environments.worker import Answer, ScriptError, Worker, unused

__all__ = [
    "Answer",
    "Environment",
    "Recipe",
    "ScriptError",
    "Worker",
    "ensure",
    "find",
    "is_made",
    "names",
    "packages_version",
    "place",
    "prepare",
    "unused",
]
