"""The engine ``embedded``: a real Triton from PyPI, as processes of this machine, on its CPU."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import ModelLoadError, ServerDiedError, UsageError
from kit.server import environment, messages, models, ports, runfolder
from kit.server.endpoint import Endpoint
from kit.server.environment import ServerEnvironment
from kit.server.interface import ServerOptions
from kit.server.models import ServedModel
from kit.server.ports import Ports
from kit.server.runfolder import RunFolder
from kit.server.stubs import StubWatch
from kit.signals import deferred

unavailable_reason = environment.unavailable_reason

BACKENDS = ("onnxruntime", "openvino", "python")
"""The backends that this server has; beside them it serves ensembles."""

_ELSEWHERE = ("tensorrt", "pytorch", "tensorflow", "dali")
_POLL_S = 0.02
# Beyond Triton's own exit timeout: an open gRPC stream keeps the server alive for ever.
_GRACE_S = 5.0
_LOG_TAIL_BYTES = 64_000


@dataclass(frozen=True, kw_only=True)
class EmbeddedServer(Endpoint):
    """A running server; see ``interface.RunningServer``. ``server_pid`` is Triton's, whose children are the stubs."""

    server_pid: int
    folder: RunFolder
    stubs: StubWatch
    keeper: subprocess.Popen[bytes] = field(repr=False)

    def load(self, model: str) -> None:
        """Load a model, or load it again if its files changed. Raises ``ModelLoadError`` with Triton's reason."""
        try:
            super().load(model)
        except ModelLoadError as error:
            reason = messages.poll_reason(self.log_tail(), model) if "failed to poll" in str(error) else None
            if reason is None:
                raise
            raise ModelLoadError(f"Triton refused to load model {model!r}: {reason}") from error

    def log_tail(self) -> str:
        """Return the end of the log; nothing where it goes to the terminal."""
        path = self.options.log_file or self.folder.log
        if not path.exists():
            return ""
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")

    def dead_models(self) -> frozenset[str]:
        """Return models with a dead instance."""
        return self.stubs.dead()

    def exit_code(self) -> int | None:
        """Return None while the server runs, else its exit code (128 + N: signal N ended it)."""
        code = self.keeper.poll()
        return 128 - code if code is not None and code < 0 else code  # as the keeper itself tells of a signal

    def process(self) -> int | None:
        """Return Triton's process, whose children are the stubs."""
        return self.server_pid

    def stop(self) -> None:
        """Answer what is in flight and end, within ``exit_timeout_s`` + 5 s."""
        if self.keeper.poll() is None:
            self.keeper.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.keeper.wait(self.options.exit_timeout_s + _GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End the keeper, the server and its stubs, which are one process group, and sweep what they leave."""
        with deferred():
            if self.keeper.poll() is None:
                with contextlib.suppress(ProcessLookupError):  # it ended just now
                    os.killpg(self.keeper.pid, signal.SIGKILL)
                self.keeper.wait()
            self.folder.remove()


def start(options: ServerOptions, announce: Callable[[str], None]) -> EmbeddedServer:
    """Start a server and return it once every model is ready. Errors: see ``interface.Engine.start``."""
    served = _survey(options)
    claimed = ports.claim(options.address, http=options.http_port, grpc=options.grpc_port, metrics=options.metrics_port)
    made = environment.prepare((*options.backends, *(m.backend for m in served)), announce)
    environment.check_stub(made)
    server = _launch(options, made, claimed, served)
    try:
        server.wait(
            interval_s=_POLL_S,
            ended=lambda: None if server.exit_code() is None else f"the server ended with code {server.exit_code()}",
            last_words=lambda: messages.log_reason(server.log_tail()),
        )
        if options.load_at_start:
            log = server.log_tail()
            server.check_loaded(
                (model.name for model in served),
                lambda name: messages.poll_reason(log, name) or "the server's log says why",
            )
        server.dead_models()  # learn who the stubs are: one that dies from now on is known
    except BaseException:  # Ctrl-C too: no server stays behind
        server.kill()
        raise
    return server


@contextmanager
def running(options: ServerOptions, announce: Callable[[str], None] = lambda _: None) -> Iterator[EmbeddedServer]:
    """Start a server for the length of a ``with`` block and kill it at the end: for checks, not for service.

    With ``load_at_start=False`` it is there in 0.2 s and has no models; the repository may still be empty
    then, and ``load`` brings what is in it by that time.
    """
    server = start(options, announce)
    try:
        yield server
    finally:
        server.kill()


def command(options: ServerOptions) -> tuple[str, ...]:
    """Return Triton's command line. Folders that are made at the start are shown by name only."""
    shown = Ports(http=options.http_port, grpc=options.grpc_port, metrics=options.metrics_port)
    return _command(options, _survey(options), shown, ("tritonserver", "BACKENDS", "PREFIX"))


def _survey(options: ServerOptions) -> tuple[ServedModel, ...]:
    """Read the repository, and say plainly what this server cannot do, before anything is fetched."""
    if not options.load_at_start and options.repository.is_dir() and not any(options.repository.iterdir()):
        return ()  # models come later
    served = models.survey(options.repository, options.config_name, options.models)
    for model in served if options.load_at_start else ():
        if model.backend in _ELSEWHERE:
            raise ModelLoadError(
                f"model {model.name!r} needs the backend {model.backend!r}, which the embedded server does not have "
                f"(it has {', '.join(BACKENDS)} and ensembles); use --engine docker, or --target with a CPU's "
                "configuration"
            )
    return served


def _command(
    options: ServerOptions, served: tuple[ServedModel, ...], claimed: Ports, names: tuple[str, str, str]
) -> tuple[str, ...]:
    """Return Triton's command line; ``names`` are the binary, the backend directory and the shared memory prefix.

    Python-based backends read ``--backend-config=python,...`` and ignore those with their own name. Without
    ``--strict-readiness=false`` a server is "not ready" for ever after one failed version.
    """
    binary, backends, prefix = names
    chosen = [f"--load-model={name}" for name in options.models or ("*",)] if options.load_at_start else []
    return (
        binary,
        f"--model-repository={options.repository.resolve()}",
        f"--backend-directory={backends}",
        "--model-control-mode=explicit",
        *chosen,
        *([f"--model-config-name={options.config_name}"] if options.config_name else []),
        *([] if _auto_complete(options, served) else ["--disable-auto-complete-config"]),
        "--strict-readiness=false",
        "--exit-on-error=false",
        f"--exit-timeout-secs={options.exit_timeout_s}",
        "--allow-gpu-metrics=false",
        f"--http-address={options.address}",
        f"--grpc-address={options.address}",
        f"--metrics-address={options.address}",
        f"--http-port={claimed.http}",
        f"--grpc-port={claimed.grpc}",
        f"--metrics-port={claimed.metrics}",
        "--backend-config=python,thread-pool-size=1",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        *(["--log-verbose=1"] if options.verbose else []),
    )


def _auto_complete(options: ServerOptions, served: tuple[ServedModel, ...]) -> bool:
    if options.auto_complete is not None:
        return options.auto_complete
    return not served or not all(model.complete for model in served)


def _launch(
    options: ServerOptions, made: ServerEnvironment, claimed: Ports, served: tuple[ServedModel, ...]
) -> EmbeddedServer:
    folder = runfolder.make(made)
    triton = _command(options, served, claimed, (str(made.tritonserver), str(folder.backends), folder.prefix))
    program = Path(__file__).with_name("keeper.py")
    with _log(options, folder) as log:
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(program), str(os.getpid()), folder.prefix, *triton],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder.path,  # Triton's stub puts the working directory first on sys.path
            env=made.variables(),
            pass_fds=(folder.lock,),
            start_new_session=True,  # Ctrl-C in a terminal reaches the kit only, and the kit decides
        )
    os.close(folder.lock)
    pid = _told(keeper)
    if not pid:
        keeper.wait()
        folder.remove()
        raise ServerDiedError(f"the server's process could not be started: {made.tritonserver}")
    stubs = StubWatch(server_pid=int(pid), repository=options.repository.resolve())
    return EmbeddedServer(
        options=options, ports=claimed, server_pid=int(pid), folder=folder, stubs=stubs, keeper=keeper
    )


def _told(keeper: subprocess.Popen[bytes]) -> bytes:
    """Return the line with the server's process number; nothing where the keeper ended before."""
    assert keeper.stdout is not None  # it is a pipe
    with keeper.stdout as told:
        return told.readline().strip()


@contextmanager
def _log(options: ServerOptions, folder: RunFolder) -> Iterator[int | None]:
    """Yield the log's descriptor; None is the terminal, for ``verbose`` without a file."""
    if options.log_file is None and options.verbose:
        yield None
        return
    try:
        handle = (options.log_file or folder.log).open("ab")
    except OSError as error:
        os.close(folder.lock)
        folder.remove()
        raise UsageError(
            f"the log file {options.log_file} cannot be written ({error.strerror}); name another with --log-file"
        ) from error
    with handle:
        yield handle.fileno()
