"""The process that makes the load: a locust of its own, in which gevent may change what it likes."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import site
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from kit.errors import LoadError, MissingExtraError
from kit.load import agreed
from kit.load.values import Message, Plan

NEUTRAL = "/"
"""Where locust is started: it would read a ``locust.conf`` or ``pyproject.toml`` of the folder that it is in."""
_PATIENCE_S = 10.0
_FAREWELL_S = 4.0


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """Where the load is made. ``processes`` on this machine; or, as ``master``, by so many ``workers`` on others.

    ``web_port`` is for locust's own pages, where a run is started and stopped; None: the run starts at once.
    """

    processes: int = 1
    master: bool = False
    workers: int = 0
    bind: str = "*"
    port: int = 5557
    web_port: int | None = None

    @property
    def generators(self) -> int:
        """How many processes send."""
        return self.workers if self.master else self.processes


@dataclass(kw_only=True)
class Generator:
    """A locust that runs. ``messages`` ends with None."""

    process: subprocess.Popen[bytes]
    said: IO[bytes]
    messages: queue.Queue[Message | None] = field(default_factory=queue.Queue)

    def stop(self) -> None:
        """Ask it to end; what it has counted still comes."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def last_words(self) -> str:
        """Return the last line that it wrote on standard error."""
        self.said.seek(0)
        lines = [line for line in self.said.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it said nothing"


@contextlib.contextmanager
def running(plan: Plan, hosts: Hosts) -> Iterator[Generator]:
    """Start locust with a plan; after the block it has ended, whatever happened.

    Raises ``MissingExtraError`` where locust is not installed.
    """
    import msgspec

    require()
    encoded = msgspec.json.encode(plan).decode()
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as said, os.fdopen(reading, "rb") as pipe:
        try:
            process = subprocess.Popen(
                [*command(hosts)], env={**environment(), agreed.PLAN: encoded, agreed.PIPE: str(writing)},
                pass_fds=(writing,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
                start_new_session=True, cwd=NEUTRAL,
            )  # fmt: skip
        finally:
            os.close(writing)
        generator = Generator(process=process, said=said)
        reader = threading.Thread(target=_read, args=(pipe, generator.messages), daemon=True)
        reader.start()
        try:
            yield generator
        finally:
            _end(process, farewell_s=_FAREWELL_S if hosts.master else 0.0)
            reader.join(_PATIENCE_S)


def command(hosts: Hosts) -> tuple[str, ...]:
    """Return the command line of the locust that knows the plan."""
    words = [sys.executable, "-m", "locust", "-f", str(locustfile()), "--loglevel", "ERROR", "--stop-timeout", "1"]
    if hosts.web_port is None:
        words += ["--headless", "--only-summary"]
    else:
        words += ["--web-port", str(hosts.web_port)]
    if hosts.master:
        words += ["--master", "--master-bind-host", hosts.bind, "--master-bind-port", str(hosts.port)]
        words += ["--expect-workers", str(hosts.workers)]
    elif hosts.processes > 1:
        port = str(free_port())  # another load on this machine may have the usual one
        words += ["--processes", str(hosts.processes), "--master-port", port, "--master-bind-port", port]
    return tuple(words)


def worker(host: str, port: int) -> tuple[str, ...]:
    """Return the command line of a worker, which gets its plan from the master."""
    return (sys.executable, "-m", "locust", "-f", str(locustfile()), "--worker", "--master-host", host,
            "--master-port", str(port), "--loglevel", "ERROR")  # fmt: skip


def require() -> None:
    """Raise ``MissingExtraError`` where locust is not installed; it is not imported, which would patch this process."""
    import importlib.util

    if importlib.util.find_spec("locust") is None:
        raise MissingExtraError("locust", "load", "load tests")


def locustfile() -> Path:
    """Return what locust runs."""
    return Path(__file__).with_name("locustfile.py")


def free_port() -> int:
    """Return a port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def failure(generator: Generator) -> LoadError:
    """Return why a locust that has ended told nothing."""
    code = generator.process.poll()
    return LoadError(
        f"the load generator ended with exit code {code} before it sent anything: {generator.last_words()}"
    )


def environment() -> dict[str, str]:
    """Return the variables of a locust: ours, without what would tell it something else."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    package = str(Path(__file__).parents[2])
    if package not in site.getsitepackages():  # a checkout; what is installed is found, and must not hide Python's own
        found["PYTHONPATH"] = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**found, "GRPC_VERBOSITY": "NONE"}


def _read(pipe: IO[bytes], messages: queue.Queue[Message | None]) -> None:
    import msgspec

    decoder = msgspec.json.Decoder(Message)
    for line in pipe:
        with contextlib.suppress(msgspec.DecodeError):  # the last one of a process that was killed
            messages.put(decoder.decode(line))
    messages.put(None)


def _end(process: subprocess.Popen[bytes], farewell_s: float) -> None:
    """End the whole session, locust's own processes too: all was told, or nobody waits for it any more.

    A master has a moment to send its workers home, which are on other machines.
    """
    if farewell_s:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(farewell_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
