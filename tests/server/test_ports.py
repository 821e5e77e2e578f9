"""Ports are looked at before anything is loaded."""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path

import pytest

from kit.errors import PortInUseError, UsageError
from kit.server import ports


def test_free_ports_are_different_and_given_ones_are_kept() -> None:
    chosen = ports.claim("127.0.0.1", http=0, grpc=0, metrics=0)
    assert len({chosen.http, chosen.grpc, chosen.metrics}) == 3
    assert ports.claim("127.0.0.1", http=chosen.http, grpc=0, metrics=0).http == chosen.http


@pytest.mark.parametrize("name", ["HTTP", "gRPC", "metrics"])
def test_a_taken_port_is_named_with_its_holder_and_a_way_out(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        wanted = {"http": 0, "grpc": 0, "metrics": 0, name.lower(): port}
        comm = Path("/proc/self/comm").read_text().strip()
        expected = (
            f"{name} port {port} on 127.0.0.1 is in use by {comm} (process {os.getpid()}); stop that, or choose "
            f"another with --{name.lower()}-port"
        )
        with pytest.raises(PortInUseError, match=f"^{re.escape(expected)}$"):
            ports.claim("127.0.0.1", **wanted)


def test_a_port_that_was_just_closed_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            connection, _ = server.accept()
            connection.close()  # this side is in TIME_WAIT from now on
            client.recv(1)
    assert ports.claim("127.0.0.1", http=port, grpc=0, metrics=0).http == port


@pytest.mark.parametrize("address", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine(address: str) -> None:
    expected = f"cannot listen on {address} ({os.strerror(errno.EADDRNOTAVAIL)}); choose another address with --host"
    with pytest.raises(UsageError, match=f"^{re.escape(expected)}$"):
        ports.claim(address, http=0, grpc=0, metrics=0)


def test_two_ports_that_are_the_same_are_refused() -> None:
    message = r"^gRPC and metrics cannot both listen on port 8123; choose another with --metrics-port$"
    with pytest.raises(UsageError, match=message):
        ports.claim("127.0.0.1", http=0, grpc=8123, metrics=8123)
