"""A detector on a Triton server: frames in, boxes out. The model is one that ``kit generate`` made.

Frames are [H, W, 3] uint8, RGB, of any size::

    detector = Detector("localhost:8001", "digits")
    for found in detector.detect(frame):
        print(found.class_id, found.score, found.box)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from letterbox import Frame, Letterbox
from tritonclient.grpc import InferenceServerClient, InferInput, InferResult
from tritonclient.utils import InferenceServerException

OUTPUTS = ("num", "boxes", "scores", "classes")
TIMEOUT_S = 30.0

# A Triton server stands in the same network; a proxy for the internet would be in the way.
_CHANNEL = [("grpc.enable_http_proxy", 0)]


class DetectorError(Exception):
    """The server or the model cannot be used; the message is one line for the user."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """An object in a frame: its class, how sure the network is (0 to 1), x1, y1, x2, y2 in pixels of the frame."""

    class_id: int
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for a frame, and how long that took from sending the request."""

    detections: tuple[Detection, ...]
    latency_ms: float


class Detector:
    """A model on a server. ``width`` and ``height`` are what it takes; frames of other sizes are letterboxed."""

    def __init__(self, url: str, model: str) -> None:
        self._client: Any = InferenceServerClient(url, channel_args=_CHANNEL)
        self._model = model
        self._require_ready(url)
        metadata = self._client.get_model_metadata(model, client_timeout=TIMEOUT_S)
        self._input = metadata.inputs[0]
        shape = tuple(self._input.shape)
        names = {o.name for o in metadata.outputs}
        if len(shape) != 4 or self._input.datatype != "UINT8" or not names.issuperset(OUTPUTS):
            raise DetectorError(
                f"{model} is not a detector that takes frames (its input is {self._input.datatype} {list(shape)}, its "
                f"outputs are {', '.join(sorted(names))}); generate it with: kit generate MODEL --task detect"
            )
        _, self.height, self.width, _ = shape
        if self.height < 1 or self.width < 1:
            raise DetectorError(f"{model} takes frames of any size; set width and height in clients/detector.py")

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        """Send a frame [H, W, 3] (uint8, RGB), wait, and return what is in it, the surest first."""
        return self.send(frame).result().detections

    def send(self, frame: Frame) -> Future[Answer]:
        """Send a frame and return at once; the future raises ``DetectorError`` if the server refuses it."""
        letterbox = Letterbox(
            source_width=frame.shape[1], source_height=frame.shape[0], input_width=self.width, input_height=self.height
        )
        tensor = InferInput(self._input.name, [1, self.height, self.width, 3], "UINT8")
        tensor.set_data_from_numpy(letterbox.apply(frame)[np.newaxis])
        future: Future[Answer] = Future()
        start = time.perf_counter()
        self._client.async_infer(self._model, [tensor], _receiver(future, letterbox, start), client_timeout=TIMEOUT_S)
        return future

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _require_ready(self, url: str) -> None:
        try:
            if self._client.is_model_ready(self._model, client_timeout=TIMEOUT_S):
                return
            index = self._client.get_model_repository_index(client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            raise DetectorError(f"no Triton server answers at {url} (gRPC); start one with: kit serve DIR") from error
        ready = ", ".join(m.name for m in index.models if m.state == "READY") or "no model"
        raise DetectorError(f"the server at {url} has no model {self._model} that is ready; it has {ready}")


def _receiver(
    future: Future[Answer], letterbox: Letterbox, start: float
) -> Callable[[InferResult | None, InferenceServerException | None], None]:
    """Return what tritonclient calls, in a thread of its own, when the answer is there."""

    def receive(result: InferResult | None, error: InferenceServerException | None) -> None:
        latency_ms = (time.perf_counter() - start) * 1e3
        if error is not None:
            future.set_exception(DetectorError(f"the server refused a frame: {' '.join(error.message().split())}"))
            return
        future.set_result(Answer(detections=_detections(result, letterbox), latency_ms=latency_ms))

    return receive


def _detections(result: InferResult, letterbox: Letterbox) -> tuple[Detection, ...]:
    """Read the first ``num`` rows; what they hold: kit/tasks/detect.py."""
    num, boxes, scores, classes = (result.as_numpy(name)[0] for name in OUTPUTS)
    count = int(num[0])
    mapped = letterbox.to_source(boxes[:count])
    return tuple(
        Detection(class_id=int(class_id), score=float(score), box=tuple(box.tolist()))
        for class_id, score, box in zip(classes[:count], scores[:count], mapped, strict=True)
    )
