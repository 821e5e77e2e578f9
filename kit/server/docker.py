"""The engine ``docker``: the Triton image that is pinned for a target, in a container of this machine."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from kit.errors import ServerUnavailableError, UsageError
from kit.server import engines, models, ports
from kit.server.endpoint import Endpoint
from kit.server.interface import ServerOptions
from kit.server.ports import Ports
from kit.targets.values import Target

_HTTP, _GRPC, _METRICS = 8000, 8001, 8002
_MODELS = "/models"
# Triton's Python backend and large requests outgrow Docker's 64 MiB.
_SHARED_MEMORY = "1g"
_CACHE_VOLUME = "triton-edge-kit-engines"
_POLL_S = 0.2
_GRACE_S = 5.0
# Longer than the longest stop.
_DAEMON_S = 900


@dataclass(frozen=True, kw_only=True)
class DockerServer(Endpoint):
    """A running container; see ``interface.RunningServer``. ``client`` is the ``docker run`` that shows its log."""

    name: str
    client: subprocess.Popen[bytes] = field(repr=False)

    def dead_models(self) -> frozenset[str]:
        """Return nothing: Triton's own backends have no processes that could die alone."""
        return frozenset()

    def exit_code(self) -> int | None:
        """Return None while the container runs, else its exit code."""
        return self.client.poll()

    def process(self) -> int | None:
        """Return None: it is a container's."""
        return None

    def stop(self) -> None:
        """Answer what is in flight and end; the daemon kills what takes longer than ``exit_timeout_s`` + 5 s."""
        if self.client.poll() is None:
            _docker("stop", "--time", str(int(self.options.exit_timeout_s + _GRACE_S)), self.name)
        self.kill()

    def kill(self) -> None:
        """End the container at once."""
        if self.client.poll() is None:
            _docker("kill", self.name)
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.killpg(self.client.pid, signal.SIGKILL)
            self.client.wait()


def unavailable_reason() -> str | None:
    """Return why no container can run here, or None. Asks the daemon, which takes about 50 ms."""
    if shutil.which("docker") is None:
        return "docker is not installed; install it (https://docs.docker.com/engine/install) or use --engine embedded"
    try:
        done = _docker("version", "--format", "{{.Server.Version}}")
    except subprocess.TimeoutExpired:
        return "docker's daemon does not answer; restart it (systemctl restart docker) or use --engine embedded"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason was given"]
        return (
            f"docker's daemon is not running or not for this user to use: {lines[-1]}; start it (systemctl start "
            "docker) or use --engine embedded"
        )
    return None


def start(options: ServerOptions, announce: Callable[[str], None]) -> DockerServer:
    """Print the command, run it and return once every model is ready. Errors: see ``interface.Engine.start``."""
    served = models.survey(options.repository, options.config_name, options.models)
    engines.require(options.repository, served, _target(options))
    reason = unavailable_reason()
    if reason is not None:
        raise ServerUnavailableError(reason)
    claimed = ports.claim(options.address, http=options.http_port, grpc=options.grpc_port, metrics=options.metrics_port)
    options = replace(options, http_port=claimed.http, grpc_port=claimed.grpc, metrics_port=claimed.metrics)
    announce(shlex.join(command(options)))
    server = _launch(options, claimed)
    try:
        server.wait(
            interval_s=_POLL_S,
            ended=lambda: None if server.exit_code() is None else f"the container ended with code {server.exit_code()}",
            last_words=lambda: "its log above says why",
        )
        server.check_loaded((model.name for model in served), lambda _: "the container's log above says why")
    except BaseException:  # Ctrl-C too: no container stays behind
        server.kill()
        raise
    return server


def command(options: ServerOptions) -> tuple[str, ...]:
    """Return the ``docker run`` command. Raises ``UsageError`` without a target, ``BadRepositoryError``."""
    target = _target(options)
    served = models.survey(options.repository, options.config_name, options.models)
    caches = sorted({cache for model in served for cache in model.engine_caches})
    published = ((options.http_port, _HTTP), (options.grpc_port, _GRPC), (options.metrics_port, _METRICS))
    complete = all(model.complete for model in served) if options.auto_complete is None else not options.auto_complete
    return (
        *("docker", "run", "--rm", "--init", "--name", _name(options)),
        *_gpu(target),
        f"--shm-size={_SHARED_MEMORY}",
        *(f"--publish={_bracketed(options.address)}:{outside}:{inside}" for outside, inside in published),
        f"--volume={options.repository.resolve()}:{_MODELS}:ro",
        *(f"--volume={_CACHE_VOLUME}:{cache}" for cache in caches),
        target.stack.image,
        "tritonserver",
        f"--model-repository={_MODELS}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in options.models or ("*",)),
        *([f"--model-config-name={options.config_name}"] if options.config_name else []),
        "--strict-readiness=false",
        "--exit-on-error=false",
        f"--exit-timeout-secs={options.exit_timeout_s}",
        *(["--disable-auto-complete-config"] if complete else []),
        *(_trusted() if engines.version_compatible(options.repository, served) else ()),
        *(["--log-verbose=1"] if options.verbose else []),
    )


def _trusted() -> tuple[str, ...]:
    """A version-compatible engine holds code that runs on the CPU, which Triton runs only where it is told to."""
    return ("--backend-config=tensorrt,version-compatible=true",)


def _target(options: ServerOptions) -> Target:
    if options.target is None:
        raise UsageError("--engine docker needs --target NAME, for the Triton image that is pinned there (kit targets)")
    return options.target


def _gpu(target: Target) -> tuple[str, ...]:
    """A target with a compute capability has a GPU; Jetson's runtime knows no ``--gpus``."""
    if target.device.compute_capability is None:
        return ()
    return ("--runtime=nvidia",) if target.device.architecture == "aarch64" else ("--gpus=all",)


def _name(options: ServerOptions) -> str:
    """Return the container's name: one for each HTTP port, so that a second one is refused by name."""
    return f"triton-edge-kit-{options.http_port}"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=_DAEMON_S, check=False)


def _launch(options: ServerOptions, claimed: Ports) -> DockerServer:
    run = command(options)
    with _log(options) as log:
        client = subprocess.Popen(run, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    return DockerServer(options=options, ports=claimed, name=_name(options), client=client)


@contextmanager
def _log(options: ServerOptions) -> Iterator[int]:
    """Yield the log's descriptor: the file's, or standard error."""
    if options.log_file is None:
        yield 2
        return
    try:
        handle = options.log_file.open("ab")
    except OSError as error:
        raise UsageError(
            f"the log file {options.log_file} cannot be written ({error.strerror}); name another with --log-file"
        ) from error
    with handle:
        yield handle.fileno()
