"""A real RTSP server on loopback, in a process of its own, so that it can be stopped, continued and killed."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = Path(__file__).with_name("rtsp_server.py")


@dataclass
class RtspProcess:
    """The server; ``start`` again after ``kill``, on the same port."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.folder), str(self.port)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not answers(self.port):
            assert time.monotonic() < deadline, "the RTSP server does not start"
            assert self.process.poll() is None, "the RTSP server ended"
            time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def url(self, name: str = "camera.mp4", *, credentials: str = "", plays: int = 0) -> str:
        """Return the address of a file that is played ``plays`` times, 0 for ever."""
        return f"rtsp://{credentials}127.0.0.1:{self.port}/{name}?play_count={plays}"


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port that nobody has, from below those that the system gives to others meanwhile."""
    while True:
        port = random.Random().randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
