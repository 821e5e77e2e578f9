"""Which Python runs the embedded server's backends.

The server's Python backend starts a stub that is linked to ``libpython3.x``: the interpreter must be one
that a stub was built for, and its shared library must be found (the wheel brings that of 3.13 only).
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kit.environments.pythons import candidates, is_there

VARIABLE = "KIT_SERVER_PYTHON"
"""The environment variable that names the interpreter to use, before any that would be found."""

# Under numpy 1.26, the best one first: Triton's Python backend is whole there, strings included.
WHOLE = ((3, 12), (3, 11), (3, 10))
# numpy 1.26 has no wheel here: tensors go by DLPack, strings are refused.
NUMPY2 = (3, 13)

_PROBE = """
import json, sys, sysconfig
v = sysconfig.get_config_var
print(json.dumps({"version": sys.version_info[:2], "implementation": sys.implementation.name,
                  "libdir": v("LIBDIR") or "", "multiarch": v("MULTIARCH") or "", "prefix": sys.base_prefix}))
"""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python that the stub can run: ``library`` is the folder of its ``libpython3.x.so.1.0``, if one is needed."""

    executable: Path
    version: tuple[int, int]
    library: Path | None


@functools.cache
def find() -> Interpreter | None:
    """Return the best usable Python: the running one, else one on PATH or in a usual place; 3.13 comes last.

    ``KIT_SERVER_PYTHON`` overrides the search. Takes about 20 ms for each interpreter that has to be asked.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return probe(Path(named))
    fallback: Interpreter | None = None
    for executable in candidates((*WHOLE, NUMPY2)):
        found = probe(executable)
        if found is not None and found.version in WHOLE:
            return found
        if found is not None and fallback is None:
            fallback = found
    return fallback


def probe(executable: Path) -> Interpreter | None:
    """Ask an interpreter what it is; None where it does not start, is no CPython 3.10-3.13 or has no library."""
    try:
        answer = subprocess.run(
            [executable, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=20, check=True
        ).stdout
        facts = json.loads(answer)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None  # a broken symbolic link, a pyenv shim of a version that is not chosen, ...
    version = (int(facts["version"][0]), int(facts["version"][1]))
    if facts["implementation"] != "cpython" or version not in (*WHOLE, NUMPY2):
        return None
    if version == NUMPY2:
        return Interpreter(executable=executable, version=version, library=None)
    library = _library(version, facts["libdir"], facts["multiarch"], facts["prefix"])
    return None if library is None else Interpreter(executable=executable, version=version, library=library)


def _library(version: tuple[int, int], libdir: str, multiarch: str, prefix: str) -> Path | None:
    name = f"libpython{version[0]}.{version[1]}.so.1.0"
    own = (Path(libdir), Path(libdir, multiarch), Path(prefix, "lib"), Path(prefix, "lib64"))
    usual = (Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64"), Path("/usr/local/lib"))
    return next((f for f in (*own, *usual) if f.is_absolute() and is_there(f / name)), None)
