"""Environments in the user's cache folder: ``<cache>/environments/<name>-<digest>``, whole or not there.

The digest covers the locks and the interpreter: another version of the kit, or another Python, has its own.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from kit import paths
from kit.environments import installing, pythons, recipe
from kit.environments.installing import InstallError
from kit.environments.recipe import Recipe
from kit.errors import ToolEnvironmentError

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where PyTorch's builds without CUDA are; others by pip's own settings (``PIP_FIND_LINKS``, a mirror)."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A whole environment that was tried out. ``digest`` is that of what is in it."""

    name: str
    purpose: str
    root: Path
    python: Path
    digest: str


def names() -> tuple[str, ...]:
    """Return the names of all environments that can be made."""
    return recipe.names()


def place() -> Path:
    """Return the folder that environments stand in."""
    return paths.cache_root() / "environments"


def ensure(wanted: str | Recipe, announce: Callable[[str], None]) -> Environment:
    """Return the environment of that name, made now if it is not there yet: seconds to minutes, with progress shown.

    Raises ``ToolEnvironmentError`` where it cannot be made (no fitting Python, no connection, packages that do not
    import), ``DiskFullError`` and ``NotWritableError`` where it cannot be kept; then nothing half-made stays.
    """
    what = recipe.load(wanted) if isinstance(wanted, str) else wanted
    base = _python(what)
    folder = _folder(what, base)
    with installing.cache_translated():
        if not _whole(folder):
            _make(what, base, folder, announce)
    return _environment(what, folder)


def prepare(tools: Iterable[str], announce: Callable[[str], None]) -> None:
    """Make the environments that ``tools`` are in (``openvino/openvino``); others are the kit's own. See ``ensure``."""
    for name in dict.fromkeys(tool.partition("/")[0] for tool in tools if "/" in tool):
        ensure(name, announce)


def find(wanted: str | Recipe) -> Environment | None:
    """Return the environment of that name if it has been made; makes nothing."""
    what = recipe.load(wanted) if isinstance(wanted, str) else wanted
    base = pythons.find(what.pythons)
    if base is None or not _whole(folder := _folder(what, base)):
        return None
    return _environment(what, folder)


def is_made(wanted: str | Recipe) -> bool:
    """Tell whether ``ensure`` has nothing to fetch."""
    return find(wanted) is not None


def packages_version(name: str, distribution: str) -> str:
    """Return the version that an environment has of a distribution, and the digest of its lock: for cache keys."""
    what = recipe.load(name)
    return f"{what.version(distribution)} (lock {what.digest()[:12]})"


def _environment(what: Recipe, folder: Path) -> Environment:
    return Environment(
        name=what.name, purpose=what.purpose, root=folder, python=_python_of(folder), digest=what.digest()
    )


def _python(what: Recipe) -> Path:
    found = pythons.find(what.pythons)
    if found is None:
        versions = ", ".join(f"{major}.{minor}" for major, minor in what.pythons)
        raise ToolEnvironmentError(
            f"{what.purpose} needs an environment of its own with a CPython {versions}, and none was found that can "
            "make one; install one of them, on Debian and Ubuntu with: apt install python3-venv"
        )
    return found


def _folder(what: Recipe, base: Path) -> Path:
    who = f"{base.resolve()} {sys.platform}".encode()
    digest = hashlib.sha256(what.digest().encode() + who).hexdigest()[:16]
    return place() / f"{what.name}-{digest}"


def _python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def _whole(folder: Path) -> bool:
    """Whether the folder was renamed into place and its interpreter, a symbolic link, still stands."""
    return _python_of(folder).exists()


def _make(what: Recipe, base: Path, folder: Path, announce: Callable[[str], None]) -> None:
    try:
        installing.build(
            folder,
            lambda partial, scratch: _install(what, base, partial, scratch),
            is_whole=_whole,
            description=f"installing {what.purpose} ({what.name}), once",
            size=what.size,
            announce=announce,
        )
    except InstallError as error:
        raise ToolEnvironmentError(
            f"{what.purpose} could not be installed: {error}; check the connection to the package index (pip's own "
            "settings, PIP_INDEX_URL for instance, are used) and run the command again"
        ) from error


def _install(what: Recipe, base: Path, partial: Path, scratch: Path) -> None:
    installing.run([base, "-I", "-m", "venv", partial], scratch)
    python = _python_of(partial)
    if what.torch_lock is not None:  # first, and alone: no other package is looked for in that index
        more = ("--extra-index-url", TORCH_INDEX, "--retries", "2", "--timeout", "30")
        installing.install_lock(python, what.torch_lock, scratch, *more)
    installing.install_lock(python, what.lock, scratch)
    _try_out(what, python, scratch)


def _try_out(what: Recipe, python: Path, scratch: Path) -> None:
    """Import what it is for; that compiles it too, so that the first use is as quick as the next."""
    code = f"import {', '.join(what.imports)}"
    try:
        installing.run([python, "-I", "-W", "ignore", "-c", code], scratch)
    except InstallError as error:
        raise ToolEnvironmentError(
            f"{what.purpose} was installed and does not work on this machine: {code}: {error}; "
            "please report it with the name of your system and its processor"
        ) from error
