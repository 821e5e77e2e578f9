"""What goes into an environment: facts and locks, which are data."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import ToolEnvironmentError, suggestion

_HERE = Path(__file__).parent
_LOCKS = _HERE / "locks"
_TORCH = _LOCKS / "torch.txt"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An environment that can be made.

    ``purpose`` is told to the user. ``lock`` and ``torch_lock`` are requirements files with exact versions and hashes;
    the latter is for PyTorch, whose CPU build has a package index of its own. ``pythons`` are the versions of Python
    that it may have, ``imports`` the modules that are tried out, ``size`` the bytes that it takes.
    """

    name: str
    purpose: str
    lock: Path
    torch_lock: Path | None = None
    pythons: tuple[tuple[int, int], ...]
    imports: tuple[str, ...]
    size: int

    @property
    def locks(self) -> tuple[Path, ...]:
        """Every lock, in the order in which they are installed."""
        return (self.lock, *([self.torch_lock] if self.torch_lock else []))

    def digest(self) -> str:
        """Return the sha256 of what is installed, in hex."""
        return hashlib.sha256(b"".join(lock.read_bytes() for lock in self.locks)).hexdigest()

    def version(self, distribution: str) -> str:
        """Return the version of a distribution that the locks name, the first where it depends on Python."""
        pins = [pin for lock in self.locks for pin in _PIN.findall(lock.read_text(encoding="utf-8"))]
        return next((version for name, version in pins if name == distribution), "absent")


def names() -> tuple[str, ...]:
    """Return the names of all environments."""
    return tuple(sorted(_facts()))


def load(name: str) -> Recipe:
    """Return the recipe of that name. Raises ``ToolEnvironmentError`` where there is none."""
    facts = _facts()
    if name not in facts:
        raise ToolEnvironmentError(f'no environment "{name}"; {suggestion(name, facts)}')
    return recipe_of(name, facts[name], _LOCKS)


def recipe_of(name: str, table: Mapping[str, Any], locks: Path) -> Recipe:
    """Return the recipe that a table of ``facts.toml`` says. Raises ``KeyError`` where a fact is missing."""
    known = {"purpose", "pythons", "bytes", "imports", "torch"}
    if unknown := set(table) - known:
        raise KeyError(f"{name}: {', '.join(sorted(unknown))}")
    return Recipe(
        name=name,
        purpose=table["purpose"],
        lock=locks / f"{name}.txt",
        torch_lock=_TORCH if table.get("torch") else None,
        pythons=tuple((int(major), int(minor)) for major, minor in (text.split(".") for text in table["pythons"])),
        imports=tuple(table["imports"]),
        size=table["bytes"],
    )


def _facts() -> dict[str, dict[str, Any]]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads((_HERE / "facts.toml").read_text(encoding="utf-8"))
