"""How long after a Triton is back its client has results again: restarts (SIGKILL) and freezes (SIGSTOP, SIGCONT).

    python benchmarks/recovery.py [--times 20] [--away 1.0] [--freshness 0.5]

The clock starts when the server answers that the model is ready, asked by a connection of its own every 5 ms, and ends
with the first result. The peer is a plain tritonclient with its default channel in a loop that sends a frame every
33 ms: both look at the same restarts. Goal: within a second.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import client_cpu
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kit.server import embedded  # noqa: E402  # the checkout's, wherever this is run from
from kit.server.embedded import EmbeddedServer  # noqa: E402
from kit.server.interface import ServerOptions  # noqa: E402
from kit.stream.channel import Channel  # noqa: E402
from kit.stream.contract import ModelOptions  # noqa: E402
from kit.stream.failures import CallFailedError  # noqa: E402
from kit.stream.requests import Dispatcher, RequestOptions  # noqa: E402
from kit.stream.types import Frame  # noqa: E402

_SIDE = 320
_FRAME_S = 1 / 30
_PATIENCE_S = 30.0


@contextmanager
def background(step: Callable[[], None]) -> Iterator[None]:
    """Call ``step`` 30 times a second while the block runs."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(_FRAME_S):
            step()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def plain(url: str, results: list[float]) -> Callable[[], None]:
    """Return what sends a frame by tritonclient, waits, and notes when there was an answer."""
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    client: Any = triton.InferenceServerClient(url)
    tensor = triton.InferInput("images", [1, _SIDE, _SIDE, 3], "UINT8")
    tensor.set_data_from_numpy(np.zeros((1, _SIDE, _SIDE, 3), np.uint8))

    def step() -> None:
        try:
            client.infer("frames", [tensor], client_timeout=0.5)
        except InferenceServerException:
            return
        results.append(time.monotonic())

    return step


def streamed(dispatcher: Dispatcher) -> Callable[[], None]:
    """Return what submits a frame."""
    image = np.zeros((_SIDE, _SIDE, 3), np.uint8)

    def step() -> None:
        dispatcher.submit(
            Frame(camera="a", number=0, image=image, pts_s=None, captured_ns=time.monotonic_ns(), wall_s=time.time())
        )

    return step


def ready_at(url: str) -> float:
    """Wait until the model answers a connection that was just made, and return when that was."""
    while True:
        channel = Channel(url=url)
        try:
            if channel.ready("frames", 0.5):
                return time.monotonic()
        except CallFailedError:
            time.sleep(0.005)
        finally:
            channel.close()


def after(moment: float, results: list[float]) -> float:
    """Return how long after a moment the next result came, in seconds; infinite where none did."""
    while time.monotonic() < moment + _PATIENCE_S:
        found = next((r for r in reversed(results) if r >= moment), None)
        if found is not None and (first := min(r for r in results if r >= moment)):
            return first - moment
        time.sleep(0.005)
    return float("inf")


class Victim:
    """A server that is ended or frozen, and comes back at the same port."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.server: EmbeddedServer = embedded.start(ServerOptions(repository=repository), lambda _: None)
        self.url, self.port = self.server.grpc_url, self.server.ports.grpc

    def restart(self, away_s: float) -> float:
        """Kill, wait, start; return when the model was ready."""
        self.server.kill()
        time.sleep(away_s)
        self.server = embedded.start(ServerOptions(repository=self.repository, grpc_port=self.port), lambda _: None)
        return ready_at(self.url)

    def freeze(self, away_s: float) -> float:
        """Stop, wait, continue; return when the model was ready."""
        os.kill(self.server.server_pid, signal.SIGSTOP)
        time.sleep(away_s)
        os.kill(self.server.server_pid, signal.SIGCONT)
        return ready_at(self.url)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--away", type=float, default=1.0, help="seconds that the server is away")
    parser.add_argument("--freshness", type=float, default=0.5, help="seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        client_cpu.write_repository(Path(folder), _SIDE)
        victim = Victim(Path(folder))
        try:
            for name, happen in (("restart", victim.restart), ("freeze", victim.freeze)):
                measure(name, happen, victim.url, options)
        finally:
            victim.server.kill()


def measure(name: str, happen: Callable[[float], float], url: str, options: argparse.Namespace) -> None:
    """Let it happen again and again, and print how long each client took."""
    ours: list[float] = []
    theirs: list[float] = []
    asked = RequestOptions(model=ModelOptions(model="frames"), freshness_s=options.freshness)
    took: dict[str, list[float]] = {"kit.stream": [], "tritonclient": []}
    with Dispatcher(Channel(url=url), asked, on_result=lambda r: ours.append(r.emitted_ns / 1e9)) as dispatcher:
        assert dispatcher.wait_until_ready(5)
        with background(streamed(dispatcher)), background(plain(url, theirs)):
            for _ in range(options.times):
                time.sleep(0.3)
                back = happen(options.away)
                took["kit.stream"].append(after(back, ours))
                took["tritonclient"].append(after(back, theirs))
    for client, values in took.items():
        median, worst = statistics.median(values), max(values)
        print(
            f"{name:8s} {client:14s} p50 {median * 1e3:6.0f} ms   worst of {len(values)} {worst * 1e3:6.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
