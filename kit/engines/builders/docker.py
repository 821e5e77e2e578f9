"""trtexec in the container that serves: the image is the target's, so that the release is too."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping

from kit.engines import gpus, versions
from kit.engines.builders import _running
from kit.engines.builders._running import Way
from kit.engines.builders.interface import Arrays, Built, Files
from kit.engines.recipe import Recipe
from kit.engines.trtexec import Places

_TIMEOUT_S = 20
_STOP_S = 60
_WORK = "/work"
_TIMING = "/timing"


class Docker:
    """Runs trtexec of the target's image, as the user who calls and without a network."""

    name = "docker"

    def unavailable(self, recipe: Recipe) -> str | None:  # noqa: ARG002
        """No docker, no daemon, or no GPU."""
        if shutil.which("docker") is None:
            return "docker is not installed"
        if gpus.found() is None:
            return "no NVIDIA GPU is here"
        return _daemon()

    def commands(self, recipe: Recipe, files: Files) -> tuple[tuple[str, ...], ...]:
        """``docker run`` with the folders of the build and of the timing cache, and nothing else."""
        return _running.commands(recipe, _way(recipe, files))

    def build(self, recipe: Recipe, files: Files, samples: Mapping[int, Arrays]) -> Built:
        """Run it; a build that is interrupted leaves no container."""
        return _running.build(recipe, files, samples, _way(recipe, files))


def _way(recipe: Recipe, files: Files) -> Way:
    image = files.image or recipe.target.stack.image
    places = Places(
        onnx=f"{_WORK}/{files.onnx.name}",
        plan=f"{_WORK}/{files.plan.name}",
        timing_cache=f"{_TIMING}/{files.timing_cache.name}",
    )

    def command(arguments: tuple[str, ...]) -> tuple[str, ...]:
        return (
            *("docker", "run", "--rm", "--init", f"--name={_name(recipe)}"),
            *_gpu(recipe),
            "--network=none",
            f"--user={os.getuid()}:{os.getgid()}",
            f"--volume={files.folder}:{_WORK}",
            f"--volume={files.timing_cache.parent}:{_TIMING}",
            f"--workdir={_WORK}",
            f"--entrypoint={versions.facts().container.trtexec}",
            image,
            *arguments,
        )

    return Way(places=places, command=command, image=image, ended=lambda: _kill(recipe))


def _gpu(recipe: Recipe) -> tuple[str, ...]:
    """Return how the container gets the GPU: a Jetson's is told from a card by the memory that the CPU shares."""
    device, container = recipe.target.device, versions.facts().container
    jetson = device.architecture == "aarch64" and device.memory_shared_with_cpu
    return container.jetson if jetson else container.discrete


def _name(recipe: Recipe) -> str:
    """Return the container's name, by which an interrupted build ends it. Docker takes no other characters."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", f"kit-build-{recipe.model}-{recipe.target.name}")


def _kill(recipe: Recipe) -> None:
    subprocess.run(["docker", "kill", _name(recipe)], capture_output=True, timeout=_STOP_S, check=False)


def _daemon() -> str | None:
    """Return why docker's daemon runs nothing for this user, or None."""
    try:
        done = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return "docker's daemon does not answer"
    lines = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else f"docker's daemon is not for this user to use ({(lines or ['?'])[-1]})"


MEMBER = Docker()
