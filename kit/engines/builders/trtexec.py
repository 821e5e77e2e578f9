"""trtexec on this machine: inside NVIDIA's container, or on a Jetson with JetPack's TensorRT."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

from kit.engines import gpus, versions
from kit.engines.builders import _running
from kit.engines.builders._running import Way
from kit.engines.builders.interface import Arrays, Built, Files
from kit.engines.recipe import Recipe
from kit.engines.trtexec import Places

_TIMEOUT_S = 60


class TrtExec:
    """Runs the trtexec of this machine, if it is of the release that serves."""

    name = "trtexec"

    def unavailable(self, recipe: Recipe) -> str | None:
        """No trtexec, no GPU, or a release that the target's image has not."""
        program = _program()
        if program is None:
            return f"trtexec is neither on PATH nor at {versions.facts().container.trtexec}"
        if gpus.found() is None:
            return "no NVIDIA GPU is here"
        return versions.other_release("trtexec", _release(program), recipe.tensorrt, recipe.version_compatible)

    def commands(self, recipe: Recipe, files: Files) -> tuple[tuple[str, ...], ...]:
        """Trtexec by its path, with paths of this machine."""
        return _running.commands(recipe, _way(files))

    def build(self, recipe: Recipe, files: Files, samples: Mapping[int, Arrays]) -> Built:
        """Run it in the folder of the build."""
        return _running.build(recipe, files, samples, _way(files))


def _way(files: Files) -> Way:
    places = Places(onnx=str(files.onnx), plan=str(files.plan), timing_cache=str(files.timing_cache))
    return Way(places=places, command=lambda arguments: (_program() or "trtexec", *arguments))


def _program() -> str | None:
    known = versions.facts().container.trtexec
    return shutil.which("trtexec") or (known if os.access(known, os.X_OK) else None)


def _release(program: str) -> str | None:
    """Return the release that it names in its first line, which it prints for ``--help`` too."""
    try:
        done = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return versions.of_banner(done.stdout + done.stderr)


MEMBER = TrtExec()
