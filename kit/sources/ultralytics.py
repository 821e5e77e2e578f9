"""A checkpoint (``best.pt``) or a network's YAML of Ultralytics, exported by the user's own ``ultralytics``.

That is AGPL-3.0: it is no dependency of the kit and never imported by it. Its command line runs as a process of its
own, in this Python or in the one that ``$KIT_ULTRALYTICS_PYTHON`` names.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from kit import disk
from kit.cache import file_digest, tool_version
from kit.errors import ExportError, MissingExtraError, SourceNotFoundError, UsageError
from kit.sources import _export
from kit.sources._kind import File
from kit.sources.interface import Loaded

_PYTHON = "KIT_ULTRALYTICS_PYTHON"
_OPSET = 18

_RUN = """\
import gc, os, sys
gc.disable()
sys.modules["thop"] = None
import torch
torch.manual_seed(0)
from ultralytics.cfg import entrypoint
gc.freeze()
gc.enable()
entrypoint()
for stream in (sys.stdout, sys.stderr):
    stream.flush()
os._exit(0)
"""
"""Its command ``yolo``, wherever that is installed; a YAML's random weights are the same each time.

Nothing is done for nobody: what is imported is no garbage to look through; ``thop``, which it can do without, runs the
network to count operations for a line that is not read; and Python would take PyTorch apart at its end, which takes
half a second.
"""

_VERSION = "import importlib.metadata as m; print(m.version('ultralytics'), m.version('torch'))"

_SETTINGS = {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "true", "PYTHONWARNINGS": "ignore"}
"""It installs packages and asks the network by itself otherwise."""


class Ultralytics(File):
    """Lets ``yolo export`` write an ONNX file with a batch of 1 and raw outputs; the kit does the rest."""

    name = "ultralytics"
    tools = ("onnx", "onnxruntime")
    needs_shape = True
    elsewhere = True

    def fingerprint(self, source: str) -> str:
        """Return a digest of the file (or a YAML's name) and of the versions that export it.

        Raises ``MissingExtraError`` where ultralytics is not installed, ``SourceNotFoundError`` without the file.
        """
        return hashlib.sha256(f"{_file_digest(source)} {_versions(source)}".encode()).hexdigest()

    def load(
        self,
        source: str,
        folder: Path,
        input_shape: tuple[int, ...] | None,
        weights: str | None = None,  # noqa: ARG002
    ) -> Loaded:
        """Let it export into ``folder`` and read what it wrote."""
        import kit.graph

        digest = self.fingerprint(source)
        work = folder / "export"
        work.mkdir()
        given = Path(source)
        if given.exists():
            disk.link_or_copy(given.resolve(), work / given.name)
        _run(command(given.name, input_shape), work, source)
        written = work / f"{given.stem}.onnx"
        if not written.is_file():
            raise ExportError(f"ultralytics exported {source} and wrote no {written.name}; try yolo export format=onnx")
        proto = kit.graph.read(written)
        shutil.rmtree(work)  # the folder may be kept, and it holds the checkpoint again
        notes = () if given.suffix == ".pt" else ("a YAML has no trained weights: they are random, for tests of speed",)
        return Loaded(model=_export.finish(proto, folder, given.name, notes), digest=digest)


def command(name: str, input_shape: tuple[int, ...] | None) -> list[str]:
    """Return the command that exports a file in the current folder. Raises ``UsageError`` for a shape that is none."""
    size = []
    if input_shape is not None:
        if len(input_shape) != 3:
            raise UsageError(f"input shape {'x'.join(map(str, input_shape))}: Ultralytics takes pictures, as 3x640x640")
        size = [f"imgsz={input_shape[1]},{input_shape[2]}"]
    return [
        python(), "-c", _RUN, "export", f"model={name}", "format=onnx", "device=cpu", "batch=1", f"opset={_OPSET}",
        "dynamic=False", "simplify=False", "half=False", "nms=False", *size,
    ]  # fmt: skip


def python() -> str:
    """Return the Python that has ultralytics: ``$KIT_ULTRALYTICS_PYTHON``, else this one."""
    return os.environ.get(_PYTHON) or sys.executable


def _file_digest(source: str) -> str:
    path = Path(source)
    if path.is_file():
        try:
            return file_digest(path)
        except OSError as error:
            raise SourceNotFoundError(f"{source} cannot be read: {error.strerror}") from error
    if path.suffix in {".yaml", ".yml"} and path.name == source:
        return source  # a network of Ultralytics' own
    raise SourceNotFoundError(
        f"{source} does not exist, and the kit fetches no weights; let Ultralytics fetch it: "
        f"python -c \"from ultralytics import YOLO; YOLO('{path.name}')\""
    )


def _versions(source: str) -> str:
    """Return the versions of ultralytics and torch that will export. Raises ``MissingExtraError``."""
    found = _versions_of(named, os.environ.get("PYTHONPATH")) if (named := os.environ.get(_PYTHON)) else _own_versions()
    if found is None:
        raise _missing(source)
    return found


def _own_versions() -> str | None:
    versions = [tool_version(name) for name in ("ultralytics", "torch")]
    return None if "absent" in versions else " ".join(versions)


@functools.lru_cache(maxsize=4)
def _versions_of(named: str, path: str | None) -> str | None:  # noqa: ARG001 (``path`` is what that Python finds)
    """Ask another Python; None where it has not both."""
    try:
        done = subprocess.run([named, "-c", _VERSION], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError(f"${_PYTHON} is {named}, which cannot be run: {error.strerror}") from error
    return None if done.returncode else done.stdout.strip()


def _missing(source: str) -> MissingExtraError:
    purpose = f"{source} is a model of Ultralytics (AGPL-3.0) and"
    return MissingExtraError("ultralytics", None, purpose, f"set ${_PYTHON} to a Python that has it")


def _run(wanted: list[str], folder: Path, source: str) -> None:
    """Run the export in ``folder``. Raises ``ExportError`` with what it said last."""
    settings = {**os.environ, **_SETTINGS, "YOLO_CONFIG_DIR": str(folder)}
    done = subprocess.run(wanted, cwd=folder, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise ExportError(f"ultralytics could not export {source}: {(said or ['no reason given'])[-1][:300]}")


MEMBER = Ultralytics()
