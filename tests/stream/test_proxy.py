"""The faulty network does what it says, or tests with it would say nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from proxy import Proxy
from rtsp_process import free_port


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(4096):
                    connection.sendall(data)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(60)


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=20)


def gives_nothing(connection: socket.socket) -> bool:
    connection.settimeout(0.3)
    try:
        connection.recv(10)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(20)
    return False


def test_passes_delays_swallows_and_restores(echo: int) -> None:
    with Proxy(echo) as proxy, connected(proxy) as connection:
        connection.sendall(b"one")
        assert connection.recv(10) == b"one"
        proxy.delay_s = 0.05
        begun = time.monotonic()
        connection.sendall(b"two")
        assert connection.recv(10) == b"two"
        assert time.monotonic() - begun >= 0.1
        proxy.delay_s = 0
        proxy.black_hole()
        connection.sendall(b"three")
        assert gives_nothing(connection)
        with connected(proxy) as another:
            assert gives_nothing(another)
        proxy.restore()
        assert connection.recv(10) == b"three"
        assert proxy.connections == 2


def test_cuts_and_lets_new_ones_pass(echo: int) -> None:
    with Proxy(echo) as proxy, connected(proxy) as connection:
        connection.sendall(b"one")
        assert connection.recv(10) == b"one"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
        with connected(proxy) as another:
            another.sendall(b"two")
            assert another.recv(10) == b"two"


def test_a_server_that_is_not_there_closes(echo: int) -> None:
    with Proxy(free_port()) as proxy, connected(proxy) as connection:
        try:
            answer = connection.recv(10)
        except ConnectionResetError:
            answer = b""
        assert answer == b""
