"""Where Pythons are found: the running one, those on PATH, and in the usual places of those who install several."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

Version = tuple[int, int]

_PROBE = (
    "import json, sys, venv, ensurepip; print(json.dumps([sys.version_info[:2], sys.implementation.name, "
    "sys._base_executable or sys.executable]))"
)


def find(versions: tuple[Version, ...]) -> Path | None:
    """Return a CPython of one of these versions that can make environments, the running one before any other.

    Takes about 20 ms for each that has to be asked.
    """
    return next((found for path in candidates(versions) if (found := _fitting(path, versions))), None)


def candidates(versions: Sequence[Version]) -> Iterator[Path]:
    """Yield interpreters, each once: the running one, those on PATH, those of pyenv, uv, conda and the system."""
    seen: set[Path] = set()
    for path in _places(versions):
        resolved = path.resolve()
        if resolved not in seen and is_there(path):
            seen.add(resolved)
            yield path


def is_there(path: Path) -> bool:
    """Whether it exists, as far as this user may see: ``HOME`` may be another's after ``sudo -u``."""
    try:
        return path.exists()
    except OSError:
        return False


@functools.cache
def _fitting(executable: Path, versions: tuple[Version, ...]) -> Path | None:
    """Return the interpreter behind an executable, past any environment of its own; None where it will not do."""
    try:
        done = subprocess.run([executable, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=20, check=True)
        version, implementation, base = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None  # a broken symbolic link, a shim of a version that is not chosen, Debian's without venv
    fits = implementation == "cpython" and tuple(version) in versions
    return Path(base) if fits else None


def _places(versions: Sequence[Version]) -> Iterator[Path]:
    yield Path(sys.executable)
    names = [f"python{major}.{minor}" for major, minor in versions]
    for name in names:
        found = shutil.which(name)
        if found:
            yield Path(found)
    home = Path.home()
    folders = ("/usr/bin", "/usr/local/bin", home / ".local/bin", home / "miniconda3/bin", home / "anaconda3/bin")
    for name in names:
        for folder in folders:
            yield Path(folder, name)
        for versioned in (home / ".pyenv/versions", home / ".local/share/uv/python"):
            if is_there(versioned):
                yield from sorted(versioned.glob(f"*/bin/{name}"), reverse=True)
