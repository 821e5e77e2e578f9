"""What every way to run a Triton server offers: the members of this axis are ``embedded`` and ``docker``.

To check a staged repository against a real server::

    from kit.server import embedded
    from kit.server.interface import ServerOptions

    reason = embedded.unavailable_reason()          # cheap, installs nothing; None: a server can run here
    options = ServerOptions(repository=staging, config_name="x86-cpu", load_at_start=False)
    with embedded.running(options) as server:       # 0.2 s; killed and swept at the end of the block
        server.load("digits")                       # ModelLoadError with Triton's own reason, in one line
        client = tritonclient.grpc.InferenceServerClient(server.grpc_url)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from kit.errors import UsageError, suggestion
from kit.targets.values import Target

ENGINES = ("embedded", "docker")


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Everything that a server is started with.

    ``config_name`` picks ``<model>/configs/<config_name>.pbtxt`` of each model that has one, as
    ``tritonserver --model-config-name`` does; None: ``config.pbtxt``. ``models`` are loaded at start
    (empty: all of them), unless ``load_at_start`` is false: then none, and ``backends`` names those that
    later loads need beyond ``onnxruntime`` (``openvino``). ``auto_complete`` lets Triton fill in what a
    configuration leaves out, which makes a load 1 to 2 s slower; None: where one lacks something.

    A port of 0 means: choose a free one. ``log_file`` None: the log is kept while the server runs and then
    removed. ``target`` is needed by the docker engine, for the image that is pinned there.
    ``exit_timeout_s`` is how long requests in flight may take when the server is stopped;
    ``load_timeout_s`` how long all models may take to load.
    """

    repository: Path
    config_name: str | None = None
    models: tuple[str, ...] = ()
    load_at_start: bool = True
    backends: tuple[str, ...] = ()
    auto_complete: bool | None = None
    address: str = "127.0.0.1"
    http_port: int = 0
    grpc_port: int = 0
    metrics_port: int = 0
    log_file: Path | None = None
    verbose: bool = False
    exit_timeout_s: int = 15
    load_timeout_s: int = 600
    target: Target | None = None


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A version of a model that answers requests."""

    name: str
    version: str


class RunningServer(Protocol):
    """A server that answers. The URLs are ``host:port``, as ``tritonclient`` takes them."""

    @property
    def grpc_url(self) -> str:
        """Return ``host:port`` for ``tritonclient.grpc``."""

    @property
    def http_url(self) -> str:
        """Return ``host:port`` for ``tritonclient.http``."""

    @property
    def metrics_url(self) -> str:
        """Return ``host:port``; Prometheus reads ``/metrics`` there."""

    def ready_models(self) -> tuple[LoadedModel, ...]:
        """Return the versions that are ready, by name. Raises ``ServerDiedError`` where none answers."""

    def load(self, model: str) -> None:
        """Load a model, or load it again if its files changed. Raises ``ModelLoadError`` with Triton's reason."""

    def unload(self, model: str) -> None:
        """Unload a model; requests in flight are answered. Raises ``ModelLoadError`` where it is unknown."""

    def dead_models(self) -> frozenset[str]:
        """Return models that are ready in name but have a dead instance; ask regularly."""

    def exit_code(self) -> int | None:
        """Return None while the server's process runs, else its exit code (128 + N: signal N ended it)."""

    def process(self) -> int | None:
        """Return the number of Triton's own process on this machine, or None where it is not to be seen."""

    def stop(self) -> None:
        """Answer what is in flight and end, within ``exit_timeout_s`` + 5 s. Never hangs; may be called twice."""

    def kill(self) -> None:
        """End at once. May be called twice."""


class Engine(Protocol):
    """A way to run a server; implemented by the modules that ``ENGINES`` names."""

    def unavailable_reason(self) -> str | None:
        """Return why no server of this kind can run on this machine, or None. Cheap; installs nothing."""

    def start(self, options: ServerOptions, announce: Callable[[str], None]) -> RunningServer:
        """Start a server and return it once every model is ready; ``announce`` gets lines for the user.

        Raises ``PortInUseError`` before anything is loaded, ``ModelLoadError`` with Triton's own reason,
        ``BadRepositoryError``, ``ServerUnavailableError``, ``DownloadError`` and ``ServerDiedError``.
        """

    def command(self, options: ServerOptions) -> tuple[str, ...]:
        """Return the command line that ``start`` would run, without running anything."""


def reachable(address: str) -> str:
    """Return where a client on this machine finds a server that listens on ``address``."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, address)  # noqa: S104 (nothing is bound)


def engine(name: str) -> Engine:
    """Return the engine of that name. Raises ``UsageError`` where there is none."""
    if name not in ENGINES:
        raise UsageError(f"there is no engine {name!r}; {suggestion(name, ENGINES)}")
    return cast(Engine, importlib.import_module(f"kit.server.{name}"))
