"""Ports: free ones, and who holds those that are taken."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kit.errors import PortInUseError, UsageError


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The three ports of a server."""

    http: int
    grpc: int
    metrics: int


def claim(address: str, *, http: int, grpc: int, metrics: int) -> Ports:
    """Return the ports to use, free ones for 0. Raises ``PortInUseError`` naming the taken port and its holder.

    Raises ``UsageError`` where the address is none of this machine's, and where two ports are the same.

    Triton itself looks only after it has loaded every model. Between this look and Triton's, another
    process may take the port; then the server ends with a message that says so.
    """
    wanted = (("HTTP", http), ("gRPC", grpc), ("metrics", metrics))
    _check_different(wanted)
    for name, port in wanted:
        failure = _failure(address, port)
        if failure in (errno.EADDRINUSE, errno.EACCES):
            what = (
                f"is in use{_by_whom(port)}; stop that" if failure == errno.EADDRINUSE else "is for root only; be root"
            )
            raise PortInUseError(
                f"{name} port {port} on {address} {what}, or choose another with --{name.lower()}-port"
            )
        if failure:
            raise UsageError(f"cannot listen on {address} ({os.strerror(failure)}); choose another address with --host")
    chosen = iter(_choose(address, sum(1 for port in (http, grpc, metrics) if not port)))
    return Ports(http=http or next(chosen), grpc=grpc or next(chosen), metrics=metrics or next(chosen))


def _check_different(wanted: Sequence[tuple[str, int]]) -> None:
    for (name, port), (other, same) in itertools.combinations(wanted, 2):
        if port and port == same:
            raise UsageError(
                f"{name} and {other} cannot both listen on port {port}; choose another with --{other.lower()}-port"
            )


def _failure(address: str, port: int) -> int:
    """Return why nobody can listen there, as ``errno`` says it; 0: it is free, or port is 0 and some port is."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    with closing(socket.socket(family, kind, protocol)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Triton: TIME_WAIT does not count
        try:
            probe.bind(place)
            probe.listen(1)
        except OSError as error:
            return error.errno or errno.EADDRNOTAVAIL
    return 0


def _choose(address: str, count: int) -> Sequence[int]:
    """Return free ports, all different: their sockets are open at the same time."""
    family = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0][0]
    sockets = [socket.socket(family, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in sockets:
            probe.bind((address, 0))
        return [int(probe.getsockname()[1]) for probe in sockets]
    finally:
        for probe in sockets:
            probe.close()


def _by_whom(port: int) -> str:
    """Return `` by NAME (process PID)`` where the system lets us see it, else nothing."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or it is another user's
            if any(str(d.readlink()) in inodes for d in (process / "fd").iterdir()):
                return f" by {(process / 'comm').read_text().strip()} (process {process.name})"
    return ""


def _listening_inodes(port: int) -> frozenset[str]:
    """Return ``socket:[INODE]`` of each listening socket, from /proc/net/tcp (columns: man 5 proc)."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        columns = [line.split() for line in lines]
        found += [f"socket:[{c[9]}]" for c in columns if c[3] == "0A" and int(c[1].rsplit(":", 1)[1], 16) == port]
    return frozenset(found)
