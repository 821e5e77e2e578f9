"""Post-processing in the served graph against numpy in the client, head by head, through one embedded Triton.

    python benchmarks/postprocessing.py [--only HEAD] [--seconds 8] [--objects 150]

``client``: the network with its own tensors (``--contract native``); the client scales and transposes the frame,
sends FP32, takes the raw outputs and does NMS in numpy (``_client_side.py``). ``graph``: the same network as ``kit
generate`` serves it; the client sends the UINT8 frame and reads the rows. Both answer the same frame, in turns, over
gRPC; the score threshold is such that about ``--objects`` anchors pass it. Their answers are compared first.

Bytes are those of the tensors in a request and in its answer. CPU is milliseconds per request of the client's process
and of the server with its stubs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import _client_side
import numpy as np
import psutil
from _architectures import Architecture, every
from _client_side import Array, Found, Limits, Read
from matrix import FOLDER, HERE, _environment
from tritonclient.grpc import InferenceServerClient, InferInput

from kit import compare, graph
from kit.server import embedded
from kit.server.interface import ServerOptions

_LEAST_SAME = 0.95
_IMAGENET = tuple(np.array(v, np.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A head: the network of ``_architectures.py`` that has it, and how a client reads its raw outputs."""

    head: str
    network: str
    read: Read
    options: tuple[str, ...] = ()
    extras: str | None = None
    pixels: Callable[[Any], Any] = _client_side.pixels
    scored: bool = True


SUBJECTS = (
    Subject(head="yolov8", network="yolo11n", read=_client_side.yolov8),
    Subject(head="yolov5", network="YOLOv5 head, CSP", read=_client_side.with_objectness),
    Subject(head="yolox", network="YOLOX, decoded", read=_client_side.with_objectness, pixels=_client_side.pixels_bgr),
    Subject(head="end to end", network="yolov10n, end to end", read=_client_side.end_to_end),
    Subject(head="detr", network="RF-DETR outputs, told", read=partial(_client_side.queries, side=384),
        pixels=partial(_client_side.pixels, mean=_IMAGENET[0], std=_IMAGENET[1]),
        options=("--head", "detr,sigmoid,no-background")),
    Subject(head="ssd", network="SSDlite320 MobileNetV3, raw heads", read=_client_side.pairs),
    Subject(head="instances", network="yolo11n-seg", read=_client_side.yolov8_masks, extras="masks"),
    Subject(head="pose", network="yolo11n-pose", read=_client_side.yolov8_pose, extras="keypoints"),
    Subject(
        head="segment", network="U-Net", read=_client_side.best_class, options=("--argmax",), extras="classes",
        pixels=partial(_client_side.pixels, mean=_IMAGENET[0], std=_IMAGENET[1]), scored=False,
    ),
)  # fmt: skip


@dataclass(kw_only=True)
class Measured:
    """One side's requests."""

    seconds: list[float] = field(default_factory=list)
    client_cpu_s: float = 0.0
    server_cpu_s: float = 0.0
    sent: int = 0
    received: int = 0


@dataclass(frozen=True, kw_only=True)
class Sides:
    """A network published twice, and what its clients need."""

    subject: Subject
    repository: Path
    frame: Any
    limits: Limits


def main() -> int:
    """Measure every head and print the table; exit code 1 where the two sides answer otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="HEAD")
    parser.add_argument("--seconds", type=float, default=8.0, help="of requests for each side")
    parser.add_argument("--objects", type=int, default=150, help="anchors above the score threshold")
    arguments = parser.parse_args()
    networks = {architecture.name: architecture for architecture in every()}
    print(f"{'head':12s} {'side':7s} {'p50 ms':>7s} {'p99 ms':>7s} {'sent':>10s} {'received':>10s} {'client CPU':>10s} "
          f"{'server CPU':>10s}")  # fmt: skip
    held = True
    for subject in SUBJECTS:
        if arguments.only in (None, subject.head):
            held &= _one(subject, networks[subject.network], arguments)
    return 0 if held else 1


def _one(subject: Subject, network: Architecture, arguments: argparse.Namespace) -> bool:
    _NAMES.clear()
    if reason := network.missing():
        print(f"{subject.head:12s} skipped: {reason}")
        return True
    with tempfile.TemporaryDirectory() as folder:
        try:
            sides = _published(subject, network, Path(folder), arguments.objects)
        except subprocess.CalledProcessError as error:
            print(f"{subject.head:12s} {error.stderr.strip().splitlines()[-1]}")
            return False
        options = ServerOptions(repository=sides.repository, config_name="x86-cpu")
        with embedded.running(options) as server, InferenceServerClient(server.grpc_url) as client:
            calls = {"client": partial(_by_client, sides, client), "graph": partial(_by_graph, sides, client)}
            if differs := _difference(sides, calls["client"](Measured()), calls["graph"](Measured())):
                print(f"{subject.head:12s} {differs}")
                return False
            _report(subject.head, _measured(calls, server.server_pid, arguments.seconds))
    return True


def _published(subject: Subject, network: Architecture, folder: Path, objects: int) -> Sides:
    """Let ``kit generate`` publish the network as it is, find a threshold, and publish it with that."""
    (FOLDER / "sources").mkdir(parents=True, exist_ok=True)
    source = network.prepare(FOLDER / "sources")
    shape = network.options[: 2 * ("--input-shape" in network.options)]
    environment, repository = _environment(folder), folder / "repository"

    def generate(name: str, *options: str) -> None:
        command = (sys.executable, "-m", "kit", "generate", source, "--name", name, "--output", str(repository),
                   "--max-batch-size", "0", *shape, *options)  # fmt: skip
        subprocess.run(command, cwd=HERE, env=environment, check=True, capture_output=True, text=True)

    generate("client", "--contract", "native")
    (path,) = (repository / "client").glob("[0-9]*/model.onnx")
    signature = graph.session_signature(graph.session(path))
    _, _, height, width = (size if size > 0 else 640 for size in signature.inputs[0].shape)
    frame = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    limits = Limits(score=0.0)
    if subject.scored:
        raw = compare.runner(path)({signature.inputs[0].name: subject.pixels(frame)})
        limits = Limits(score=_threshold(subject, raw, objects))
    generate("graph", *subject.options, *(("--score-threshold", repr(limits.score)) if subject.scored else ()))
    return Sides(subject=subject, repository=repository, frame=frame, limits=limits)


def _threshold(subject: Subject, raw: dict[str, Array], objects: int) -> float:
    """Return a score that about so many anchors are above, half way to the next: rounding decides nothing."""
    everything = Limits(score=-1.0, iou=2.0, most=10**6)
    scores = np.unique(subject.read(raw, everything).scores)[::-1]
    place = min(objects, len(scores) - 2)
    return float((scores[place] + scores[place + 1]) / 2)


def _by_client(sides: Sides, client: InferenceServerClient, spent: Measured) -> Found:
    pixels = sides.subject.pixels(sides.frame)
    return sides.subject.read(_asked(client, "client", pixels, "FP32", spent), sides.limits)


def _by_graph(sides: Sides, client: InferenceServerClient, spent: Measured) -> Found:
    rows = _asked(client, "graph", sides.frame, "UINT8", spent)
    extras = rows[sides.subject.extras] if sides.subject.extras else None
    if "num" not in rows:
        return Found(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), classes=np.zeros(0, np.intp),
                     extras=extras)  # fmt: skip
    count = int(rows["num"].item())
    boxes, scores, classes = (rows[name][0][:count] for name in ("boxes", "scores", "classes"))
    return Found(
        boxes=boxes.astype(np.float32, copy=False), scores=scores.astype(np.float32, copy=False),
        classes=classes.astype(np.intp), extras=None if extras is None else extras[0][:count],
    )  # fmt: skip


_NAMES: dict[str, str] = {}


def _asked(client: InferenceServerClient, model: str, array: Any, dtype: str, spent: Measured) -> dict[str, Array]:
    if model not in _NAMES:
        _NAMES[model] = client.get_model_metadata(model).inputs[0].name
    tensor = InferInput(_NAMES[model], list(array.shape), dtype)
    tensor.set_data_from_numpy(array)
    answer = client.infer(model, [tensor])
    made = {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}
    spent.sent, spent.received = array.nbytes, sum(value.nbytes for value in made.values())
    return made


def _difference(sides: Sides, client: Found, served: Found) -> str:
    """Say how the two sides' answers differ, or nothing.

    Random weights give many scores that differ by less than rounding: a few objects may be others.
    """
    if len(client.scores) != len(served.scores):
        return f"DIFFERS: the client finds {len(client.scores)} objects, the graph {len(served.scores)}"
    if sides.subject.scored and not len(client.scores):
        return "finds nothing: there is no work to compare"
    if not len(client.scores):
        return _share(client.extras, served.extras)
    apart = np.abs(client.boxes[:, None] - served.boxes[None]).max(axis=2)
    apart[client.classes[:, None] != served.classes[None]] = np.inf
    twin = apart.argmin(axis=1)
    same = apart[np.arange(len(twin)), twin] < 0.05
    if float(same.mean()) < _LEAST_SAME:
        return f"DIFFERS: {1 - same.mean():.0%} of the client's {len(same)} objects are not among the graph's"
    if client.extras is None or served.extras is None:
        return ""
    return _share(client.extras[same], served.extras[twin[same]])


def _share(mine: Array | None, theirs: Array | None) -> str:
    if mine is None or theirs is None or mine.shape != theirs.shape:
        return "DIFFERS: there is something else to compare on each side"
    close = np.isclose(mine.astype(np.float32), theirs.astype(np.float32), atol=0.05)
    return "" if float(close.mean()) >= _LEAST_SAME else f"DIFFERS: {1 - close.mean():.1%} of masks, points or pixels"


def _measured(
    calls: Mapping[str, Callable[[Measured], Found]], server_pid: int, seconds: float
) -> dict[str, Measured]:  # fmt: skip
    """Call the sides in turns of half a second."""
    found = {name: Measured() for name in calls}
    for call in calls.values():
        for _ in range(3):
            call(Measured())
    while min(sum(m.seconds) for m in found.values()) < seconds:
        for name, call in calls.items():
            own, others, start = time.process_time(), _server_cpu_s(server_pid), time.perf_counter()
            while time.perf_counter() - start < 0.5:
                before = time.perf_counter()
                call(found[name])
                found[name].seconds.append(time.perf_counter() - before)
            found[name].client_cpu_s += time.process_time() - own
            found[name].server_cpu_s += _server_cpu_s(server_pid) - others
    return found


def _server_cpu_s(pid: int) -> float:
    server = psutil.Process(pid)
    return sum(sum(process.cpu_times()[:2]) for process in (server, *server.children()))


def _report(head: str, found: dict[str, Measured]) -> None:
    figures = {}
    for side, m in found.items():
        count = len(m.seconds)
        p50, p99 = statistics.median(m.seconds) * 1e3, float(np.quantile(m.seconds, 0.99)) * 1e3
        figures[side] = (p50, p99, m.sent, m.received, m.client_cpu_s / count * 1e3, m.server_cpu_s / count * 1e3)
        print(f"{head:12s} {side:7s} {p50:7.1f} {p99:7.1f} {m.sent:10,d} {m.received:10,d} {figures[side][4]:10.2f} "
              f"{figures[side][5]:10.2f}", flush=True)  # fmt: skip
    wall, tail, sent, received, own, server = (
        graph / client for graph, client in zip(figures["graph"], figures["client"], strict=True)
    )
    print(f"{'':12s} {'ratio':7s} {wall:7.2f} {tail:7.2f} {sent:10.2f} {received:10.4f} {own:10.2f} {server:10.2f}",
          flush=True)  # fmt: skip


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
