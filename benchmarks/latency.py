"""How old a result is when it is handed out, less what the server itself took for it: what the client and the wire add.

A camera of 30 fps whose frames have the moment of their capture; the model computes nothing. The server's own time is
the mean of Triton's statistics (queue and computation) over the run. The peer is the plain loop of ``client_cpu.py``
that sends FP32 NCHW; sides are measured in turns in one run, medians of the rounds are printed.

    python benchmarks/latency.py [--source 1280x720] [--input 640] [--frames 150] [--rounds 5] [--fps 30]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import client_cpu
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kit.server import embedded  # noqa: E402  # the checkout's, wherever this is run from
from kit.server.interface import ServerOptions  # noqa: E402
from kit.stream.channel import Channel  # noqa: E402
from kit.stream.contract import ModelOptions  # noqa: E402
from kit.stream.requests import Dispatcher, RequestOptions  # noqa: E402
from kit.stream.results import Result  # noqa: E402
from kit.stream.types import Frame  # noqa: E402


def server_ms(url: str, model: str) -> tuple[int, float]:
    """Return how many requests a model has answered, and the ms that all of them took inside the server."""
    import tritonclient.grpc as triton

    with triton.InferenceServerClient(url) as client:
        stats = client.get_inference_statistics(model).model_stats[0].inference_stats
        return stats.success.count, stats.success.ns / 1e6


def paced(images: list[Any], fps: float, send: Callable[[int, Any, int], None]) -> None:
    """Call ``send`` with each frame's number, image and capture time, at the camera's pace."""
    begin = time.monotonic_ns()
    for number, image in enumerate(images):
        captured_ns = begin + int(number * 1e9 / fps)
        time.sleep(max(0, (captured_ns - time.monotonic_ns()) / 1e9))
        send(number, image, captured_ns)


def plain(url: str, side: int, images: list[Any], fps: float) -> list[float]:
    """Return the ages, in ms, of what the plain loop got."""
    ages: list[float] = []

    def send(_: int, image: Any, captured_ns: int) -> None:
        client_cpu.plain(url, "floats", side, [image], 0, client=client)
        ages.append((time.monotonic_ns() - captured_ns) / 1e6)

    import tritonclient.grpc as triton

    with triton.InferenceServerClient(url) as client:
        paced(images, fps, send)
    return ages


def streamed(url: str, wires: frozenset[str], images: list[Any], fps: float) -> list[float]:
    """Return the ages, in ms, of the results of ``kit.stream``."""
    results: list[Result] = []
    options = RequestOptions(model=ModelOptions(model="frames"), without_wires=wires, drain_s=5)
    with Dispatcher(Channel(url=url), options, on_result=results.append) as dispatcher:
        assert dispatcher.wait_until_ready(5)

        def send(number: int, image: Any, captured_ns: int) -> None:
            dispatcher.submit(
                Frame(
                    camera="camera", number=number, image=image, pts_s=None, captured_ns=captured_ns, wall_s=time.time()
                )
            )

        paced(images, fps, send)
        time.sleep(0.2)
    return [(result.emitted_ns - result.frame.captured_ns) / 1e6 for result in results]


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="1280x720", help="size of the decoded frames")
    parser.add_argument("--input", type=int, default=640, help="side of the model's input")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fps", type=float, default=30)
    options = parser.parse_args()
    width, height = map(int, options.source.split("x"))
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    images = [image] * options.frames
    with tempfile.TemporaryDirectory() as folder:
        client_cpu.write_repository(Path(folder), options.input)
        with embedded.running(ServerOptions(repository=Path(folder))) as server:
            url = server.grpc_url
            sides: dict[str, tuple[str, Callable[[], list[float]]]] = {
                "plain FP32 NCHW": ("floats", lambda: plain(url, options.input, images, options.fps)),
                "UINT8": ("frames", lambda: streamed(url, frozenset({"shm"}), images, options.fps)),
                "shared memory": ("frames", lambda: streamed(url, frozenset(), images, options.fps)),
            }
            compare(url, sides, options)


def compare(url: str, sides: dict[str, tuple[str, Callable[[], list[float]]]], options: argparse.Namespace) -> None:
    """Measure all sides in turns and print the medians of their percentiles."""
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, (model, send) in sides.items():
            before = server_ms(url, model)
            ages = np.array(send())
            after = server_ms(url, model)
            own = (after[1] - before[1]) / (after[0] - before[0])
            p50, p99 = np.percentile(ages, [50, 99])
            found[name].append((p50 - own, p99 - own, own, len(ages) / options.frames))
    print(f"{options.source} frames at {options.fps} fps to a model of {options.input} x {options.input}")
    print(f"{'':16s} {'added p50 ms':>12s} {'added p99 ms':>12s} {'server ms':>9s} {'answered':>8s}")
    for name, rounds in found.items():
        p50, p99, own, share = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name:16s} {p50:12.2f} {p99:12.2f} {own:9.2f} {share:8.0%}")


if __name__ == "__main__":
    main()
