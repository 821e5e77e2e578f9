"""The embedded server's own Python environment: made once, locked, in the user's cache folder.

Its packages fight everyone else's (it needs numpy 1.26), so nothing of it touches the user's own. It holds
Triton 2.51.0 (24.10), the binary inside the wheel ``nvidia-pytriton`` 0.7.0, and the runtimes of our backends.

A folder ``<cache>/server/<digest>`` is whole or is not there: it is built under another name, tried out and
then renamed, under a lock. The digest covers the lock file and the interpreter.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kit import paths
from kit.environments import installing
from kit.environments.installing import InstallError
from kit.errors import DownloadError, ServerUnavailableError
from kit.server import interpreter
from kit.server.interpreter import Interpreter

TRITON_VERSION = "2.51.0"
_LOCKS = Path(__file__).parent / "lock"
# Files that pip writes, downloads included, in bytes: for the progress bar only. Measured on CPython 3.11.
_SIZES = {"server": 460_000_000, "openvino": 230_000_000}
_MINIMUM_GLIBC = (2, 35)


@dataclass(frozen=True, kw_only=True)
class ServerEnvironment:
    """A whole, tried-out environment. ``layers`` are further packages, each for the backend whose name it has."""

    root: Path
    version: tuple[int, int]
    library: Path | None
    layers: Mapping[str, Path] = field(default_factory=dict)

    @property
    def packages(self) -> Path:
        """Return the folder of its packages."""
        return self.root / "lib" / f"python{self.version[0]}.{self.version[1]}" / "site-packages"

    @property
    def triton(self) -> Path:
        """Return the folder of Triton's files inside the wheel."""
        return self.packages / "pytriton" / "tritonserver"

    @property
    def tritonserver(self) -> Path:
        """Return the server's binary."""
        return self.triton / "bin" / "tritonserver"

    @property
    def stub(self) -> Path:
        """Return the program that runs Python backends, for this version of Python."""
        name = f"{self.version[0]}.{self.version[1]}"
        return self.triton / "python_backend_stubs" / name / "triton_python_backend_stub"

    def has(self, distribution: str, version: str) -> bool:
        """Tell whether a distribution of that very version is in it, in one of its layers at least."""
        folders = (self.packages, *self.layers.values())
        return any((folder / f"{distribution}-{version}.dist-info").is_dir() for folder in folders)

    def variables(self) -> dict[str, str]:
        """Return the environment variables that the server's process needs.

        ``PATH``'s first ``python3`` picks the packages and the loader picks libpython. Triton would write
        ``__pycache__`` into repositories that hold Python models.
        """
        libraries = [*([self.library] if self.library else []), self.packages / "nvidia_pytriton.libs"]
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")}
        kept["PATH"] = os.pathsep.join([str(self.root / "bin"), os.environ.get("PATH", os.defpath)])
        kept["LD_LIBRARY_PATH"] = os.pathsep.join(str(folder) for folder in libraries)
        kept["PYTHONDONTWRITEBYTECODE"] = "1"
        kept["PYTHONNOUSERSITE"] = "1"
        return kept


def unavailable_reason() -> str | None:
    """Return why the embedded server cannot run on this machine, or None. Takes milliseconds, installs nothing."""
    if sys.platform != "linux":
        return f"the embedded server is a Linux binary and this is {platform.system()}; use --engine docker"
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"the embedded server is an x86-64 binary and this is {platform.machine()}; use --engine docker"
    reason = _libc_reason(*platform.libc_ver())
    if reason is not None:
        return reason
    if interpreter.find() is None:
        named = os.environ.get(interpreter.VARIABLE)
        return (
            "the embedded server needs a CPython 3.10, 3.11 or 3.12 with its shared library, or 3.13, and "
            + (f"{interpreter.VARIABLE}={named} is none; " if named else "none was found; ")
            + "on Debian and Ubuntu: apt install libpython3-dev python3-venv"
        )
    return None


def is_made(backends: Iterable[str] = ()) -> bool:
    """Tell whether ``prepare`` has nothing to fetch for models of these backends."""
    chosen = interpreter.find()
    try:
        parts = ["server", *(name for name in backends if name in _SIZES)]
        return chosen is not None and all(_whole(_folder(name, chosen)) for name in parts)
    except OSError:
        return False  # ``prepare`` says why


def _libc_reason(name: str, version: str) -> str | None:
    if name != "glibc":
        return "the embedded server needs glibc and this system has another C library (musl?); use --engine docker"
    numbers = re.findall(r"\d+", version)
    if tuple(int(n) for n in numbers[:2]) < _MINIMUM_GLIBC:
        return f"the embedded server needs glibc 2.35 or newer and this system has {version}; use --engine docker"
    return None


def prepare(backends: Iterable[str], announce: Callable[[str], None]) -> ServerEnvironment:
    """Return the environment for models of these Triton backends, made now if it is not there yet.

    The first time takes 20 to 60 s and 100 MB of downloads. Raises ``ServerUnavailableError`` where no
    server can run and ``DownloadError`` where packages cannot be fetched; then nothing half-made stays. Raises
    ``NotWritableError`` and ``DiskFullError`` where they cannot be kept.
    """
    reason = unavailable_reason()
    chosen = interpreter.find()
    if reason is not None or chosen is None:
        raise ServerUnavailableError(reason or "no usable Python")
    base = _folder("server", chosen)
    layers = {name: _folder(name, chosen) for name in sorted(set(backends)) if name in _SIZES}
    with installing.cache_translated():
        for name, folder in {"server": base, **layers}.items():
            if not _whole(folder):
                _build(folder, name, base, chosen, announce)
    return ServerEnvironment(root=base, version=chosen.version, library=chosen.library, layers=layers)


def _folder(name: str, chosen: Interpreter) -> Path:
    lock = (_LOCKS / f"{name}.txt").read_bytes()
    who = f"{chosen.executable.resolve()} {chosen.version} {chosen.library}".encode()
    return paths.cache_root() / "server" / f"{name}-{hashlib.sha256(lock + who).hexdigest()[:16]}"


def _whole(folder: Path) -> bool:
    """Whether the folder was renamed into place and its interpreter, a symbolic link, still stands."""
    if folder.name.startswith("server-"):
        return (folder / "bin" / "python").exists()
    return folder.is_dir()


def _build(folder: Path, name: str, base: Path, chosen: Interpreter, announce: Callable[[str], None]) -> None:
    try:
        installing.build(
            folder,
            lambda partial, scratch: _install(partial, scratch, name, base, chosen),
            is_whole=_whole,
            description=f"installing Triton's {name} packages, once",
            size=_SIZES[name],
            announce=announce,
        )
    except InstallError as error:
        raise DownloadError(
            f"could not install the server's packages: {error}; check the connection to the package index (pip's own "
            "settings, PIP_INDEX_URL for instance, are used) and run the command again"
        ) from error


def _install(partial: Path, scratch: Path, name: str, base: Path, chosen: Interpreter) -> None:
    if name != "server":
        installing.install_lock(base / "bin" / "python", _LOCKS / f"{name}.txt", scratch, "--target", str(partial))
        return
    installing.run([chosen.executable, "-m", "venv", partial], scratch)
    python = partial / "bin" / "python"
    installing.install_lock(python, _LOCKS / f"{name}.txt", scratch)
    check_stub(ServerEnvironment(root=partial, version=chosen.version, library=chosen.library))
    # Compiles what the backends import, and nothing else: a start with cold byte code takes 1 s longer.
    installing.run([python, "-c", "import numpy, onnxruntime"], scratch)


def check_stub(environment: ServerEnvironment) -> None:
    """Run the backend's stub without arguments, which exits with 1. Takes 10 ms.

    Where libpython is missing it exits with 127, and a server would wait for it for ever. Raises
    ``ServerUnavailableError``.
    """
    try:
        done = subprocess.run(
            [environment.stub], env=environment.variables(), capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerUnavailableError(f"the server's Python stub does not start: {error}") from error
    if done.returncode != 1:
        lines = done.stderr.strip().splitlines() or [f"it exited with {done.returncode}"]
        raise ServerUnavailableError(
            f"the server's Python stub does not start: {lines[-1]}; install a Python with a shared library"
        )
