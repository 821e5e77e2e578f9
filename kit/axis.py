"""An open axis is a folder: ``interface.py`` and one file per member, found by listing the folder.

Each member module holds one object named ``MEMBER`` that implements the folder's interface. Nobody
outside a folder names a member of it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil


@functools.cache
def names(package: str) -> tuple[str, ...]:
    """Return the members' names of the axis at ``package`` (``kit.tasks``), in alphabetical order.

    A folder is listed once: one run asks a hundred times.
    """
    folder = importlib.import_module(package).__path__
    return tuple(sorted(m.name for m in pkgutil.iter_modules(folder) if m.name != "interface" and m.name[0] != "_"))


def member(package: str, name: str) -> object:
    """Import and return a member; its name must be one of ``names(package)``."""
    return importlib.import_module(f"{package}.{name}").MEMBER
