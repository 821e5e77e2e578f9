"""What a frame costs the client in CPU time, from the decoded frame to the parsed result.

The peer is a plain loop with tritonclient, as NVIDIA's own image client has it: letterbox, to float, to NCHW, send as
FP32, wait, read the arrays (``plain UINT8``: the same with the kit's own contract, which shows what the framing by hand
gains). Ours is ``kit.stream``: the same frames to the same server, by each wire. The models answer
with fixed detections and compute nothing, so that the server does not count; all are measured in turns in one run, and
the ratio is that of the medians.

    python benchmarks/client_cpu.py [--source 1280x720] [--input 640] [--frames 300] [--rounds 5] [--fps 0]

Goals: at most 0.1 of the peer's time by shared memory, 0.3 as UINT8 in the requests.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kit.server import embedded  # noqa: E402  # the checkout's, wherever this is run from
from kit.server.interface import ServerOptions  # noqa: E402
from kit.stream.channel import Channel  # noqa: E402
from kit.stream.contract import ModelOptions  # noqa: E402
from kit.stream.requests import Dispatcher, RequestOptions  # noqa: E402
from kit.stream.results import Result  # noqa: E402
from kit.stream.types import Frame  # noqa: E402

_GOALS = {"shared memory": 0.1, "UINT8": 0.3}
_ROWS = 100
_OUTPUTS = (
    ("num", "INT32", (1,)),
    ("boxes", "FP32", (_ROWS, 4)),
    ("scores", "FP32", (_ROWS,)),
    ("classes", "INT32", (_ROWS,)),
)


def null_model(dtype: int, shape: tuple[int, ...]) -> Any:
    """Return a network [N, *shape] -> ten fixed detections that looks at one value of each frame only."""
    first = numpy_helper.from_array(np.zeros(len(shape), np.int64), "start")
    last = numpy_helper.from_array(np.ones(len(shape), np.int64), "end")
    axes = numpy_helper.from_array(np.arange(1, len(shape) + 1), "axes")
    nodes = [
        helper.make_node("Slice", ["images", "start", "end", "axes"], ["corner"]),
        helper.make_node("Cast", ["corner"], ["one"], to=TensorProto.FLOAT),
    ]
    constants, outputs = [first, last, axes], []
    fixed = {
        "num": np.full((1,), 10), "boxes": np.tile([10.0, 20, 300, 400], (_ROWS, 1)),
        "scores": np.linspace(1, 0, _ROWS), "classes": np.arange(_ROWS) % 80,
    }  # fmt: skip
    for name, kind, dims in _OUTPUTS:
        values = numpy_helper.from_array(fixed[name].astype(np.float32), f"{name}_fixed")
        zero = numpy_helper.from_array(np.zeros(1, np.float32), f"{name}_zero")
        form = numpy_helper.from_array(np.array([-1, *[1] * len(dims)]), f"{name}_form")
        constants += [values, zero, form]
        nodes += [
            helper.make_node("Mul", ["one", zero.name], [f"{name}_nothing"]),
            helper.make_node("Reshape", [f"{name}_nothing", form.name], [f"{name}_flat"]),
            helper.make_node("Add", [f"{name}_flat", values.name], [f"{name}_float"]),
            helper.make_node("Cast", [f"{name}_float"], [name], to=getattr(TensorProto, kind.replace("FP32", "FLOAT"))),
        ]
        kind_of = TensorProto.FLOAT if kind == "FP32" else TensorProto.INT32
        outputs.append(helper.make_tensor_value_info(name, kind_of, ("N", *dims)))
    images = helper.make_tensor_value_info("images", dtype, ("N", *shape))
    graph = helper.make_graph(nodes, "null", [images], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_repository(folder: Path, side: int) -> None:
    """Write ``frames``, which takes UINT8 NHWC, and ``floats``, which takes FP32 NCHW."""
    for name, kind, dtype, shape in (
        ("frames", TensorProto.UINT8, "UINT8", (side, side, 3)),
        ("floats", TensorProto.FLOAT, "FP32", (3, side, side)),
    ):
        (folder / name / "1").mkdir(parents=True)
        onnx.save(null_model(kind, shape), folder / name / "1" / "model.onnx")
        outputs = "\n".join(f'output {{ name: "{n}" data_type: TYPE_{t} dims: {list(d)} }}' for n, t, d in _OUTPUTS)
        (folder / name / "config.pbtxt").write_text(
            f'backend: "onnxruntime"\nmax_batch_size: 8\n'
            f'input {{ name: "images" data_type: TYPE_{dtype} dims: {list(shape)} }}\n{outputs}\n'
            "instance_group { kind: KIND_CPU count: 1 }\n"
        )


def plain(url: str, model: str, side: int, images: list[Any], pause_s: float, client: Any = None) -> None:
    """Send frames as tritonclient's examples do, one after another: to ``floats``, or as they are to ``frames``."""
    import tritonclient.grpc as triton

    with contextlib.nullcontext(client) if client is not None else triton.InferenceServerClient(url) as client:
        for image in images:
            began = time.perf_counter()
            height, width = image.shape[:2]
            scale = min(side / height, side / width)
            size = (round(width * scale), round(height * scale))
            top, left = (side - size[1]) // 2, (side - size[0]) // 2
            canvas = np.full((side, side, 3), 114, np.uint8)
            canvas[top : top + size[1], left : left + size[0]] = cv2.resize(image, size)
            if model == "floats":
                batch = np.ascontiguousarray((canvas.astype(np.float32) / 255).transpose(2, 0, 1)[np.newaxis])
            else:
                batch = canvas[np.newaxis]
            tensor = triton.InferInput("images", batch.shape, "FP32" if model == "floats" else "UINT8")
            tensor.set_data_from_numpy(batch)
            answer = client.infer(model, [tensor])
            count = int(answer.as_numpy("num")[0, 0])
            boxes = (answer.as_numpy("boxes")[0, :count] - [left, top, left, top]) / scale
            scores, classes = answer.as_numpy("scores")[0, :count], answer.as_numpy("classes")[0, :count]
            assert len(boxes) == len(scores) == len(classes) == count == 10
            time.sleep(max(0, began + pause_s - time.perf_counter()))


def streamed(url: str, model: str, wires: frozenset[str], images: list[Any], pause_s: float) -> None:
    """Send frames by ``kit.stream``."""
    results: list[Result] = []
    options = RequestOptions(model=ModelOptions(model=model), without_wires=wires, freshness_s=60, drain_s=10)
    with Dispatcher(Channel(url=url), options, on_result=results.append) as dispatcher:
        assert dispatcher.wait_until_ready(5)
        for number, image in enumerate(images):
            began = time.perf_counter()
            dispatcher.wait_for_room("camera", 10)
            dispatcher.submit(
                Frame(camera="camera", number=number, image=image, pts_s=None, captured_ns=time.monotonic_ns(),
                      wall_s=time.time())
            )  # fmt: skip
            time.sleep(max(0, began + pause_s - time.perf_counter()))
    assert len(results) == len(images)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="1280x720", help="size of the decoded frames")
    parser.add_argument("--input", type=int, default=640, help="side of the model's input")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fps", type=float, default=0, help="pace the frames; 0: as fast as possible")
    options = parser.parse_args()
    width, height = map(int, options.source.split("x"))
    generator = np.random.default_rng(0)
    few = [generator.integers(0, 256, (height, width, 3), np.uint8) for _ in range(4)]
    images = [few[index % 4] for index in range(options.frames)]
    pause_s = 1 / options.fps if options.fps else 0.0
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_repository(Path(folder), options.input)
        with embedded.running(ServerOptions(repository=Path(folder))) as server:
            url = server.grpc_url
            sides: dict[str, Callable[[list[Any]], None]] = {
                "plain FP32 NCHW": lambda i: plain(url, "floats", options.input, i, pause_s),
                "plain UINT8": lambda i: plain(url, "frames", options.input, i, pause_s),
                "FP32": lambda i: streamed(url, "floats", frozenset({"shm"}), i, pause_s),
                "UINT8": lambda i: streamed(url, "frames", frozenset({"shm"}), i, pause_s),
                "shared memory": lambda i: streamed(url, "frames", frozenset(), i, pause_s),
                "shared memory, FP32": lambda i: streamed(url, "floats", frozenset(), i, pause_s),
            }
            compare(sides, images, options)


def compare(sides: dict[str, Callable[[list[Any]], None]], images: list[Any], options: argparse.Namespace) -> None:
    """Measure all sides in turns and print their medians."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(options.rounds + 1):
        for name, send in sides.items():
            before = time.process_time()
            send(images if number else images[:20])
            if number:  # the first one warms up
                spent[name].append((time.process_time() - before) * 1e3 / len(images))
    medians = {name: statistics.median(values) for name, values in spent.items()}
    peer = medians["plain FP32 NCHW"]
    print(f"{options.source} frames to a model of {options.input} x {options.input}, {options.fps or 'no'} fps limit")
    print(f"{'':22s} {'CPU ms a frame':>14s} {'lowest':>8s} {'highest':>8s} {'ratio':>6s} {'goal':>6s}")
    for name, value in medians.items():
        low, high = min(spent[name]), max(spent[name])
        print(f"{name:22s} {value:14.2f} {low:8.2f} {high:8.2f} {value / peer:6.2f} {_GOALS.get(name, ''):>6}")


if __name__ == "__main__":
    main()
