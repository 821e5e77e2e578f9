"""The process that makes the load: a locust of its own, in which gevent may change what it likes."""

from __future__ import annotations

import os
import site
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from kit.errors import MissingExtraError

NEUTRAL = "/"
"""Where locust is started: it would read a ``locust.conf`` or ``pyproject.toml`` of the folder that it is in."""


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


def command(hosts: Hosts) -> tuple[str, ...]:
    """Return the command line of the locust that knows the plan."""
    words = ["locust", "-f", str(locustfile()), "--loglevel", "ERROR", "--stop-timeout", "1"]
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


def environment() -> dict[str, str]:
    """Return the variables of a locust: ours, without what would tell it something else."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    package = str(Path(__file__).parents[2])
    if package not in site.getsitepackages():  # a checkout; what is installed is found, and must not hide Python's own
        found["PYTHONPATH"] = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**found, "GRPC_VERBOSITY": "NONE"}
