"""Results as a server would have given them, for sinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from kit.stream.accounting import Accounting, Cause
from kit.stream.letterbox import Letterbox
from kit.stream.results import Detections, Output, Result
from kit.stream.sinks.interface import Emission
from kit.stream.snapshot import BOUNDS_MS, CameraView, SinkView, Snapshot, Spread
from kit.stream.types import Frame

Found = Sequence[tuple[int, float, tuple[float, float, float, float]]]


def image(width: int = 64, height: int = 48, value: int = 90) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


def detections(found: Found = ()) -> Detections:
    return Detections(
        boxes=np.array([box for _, _, box in found], np.float32).reshape(-1, 4),
        scores=np.array([score for _, score, _ in found], np.float32),
        classes=np.array([class_id for class_id, _, _ in found], np.int32),
    )


def emission(
    number: int = 0,
    *,
    camera: str = "door",
    output: Output | None = None,
    picture: npt.NDArray[np.uint8] | None = None,
    pts_s: float | None = None,
    labels: tuple[str, ...] = (),
    dropped: Mapping[Cause, int] | None = None,
) -> Emission:
    shown = image() if picture is None else picture
    captured_ns = 1_000_000_000 + number * 40_000_000
    frame = Frame(
        camera=camera, number=number, image=shown, pts_s=pts_s, captured_ns=captured_ns, wall_s=1e9 + number / 25
    )
    box = Letterbox(source_width=shown.shape[1], source_height=shown.shape[0], input_width=32, input_height=32)
    result = Result(
        frame=frame, output=detections() if output is None else output, model="digits", version="1",
        sent_ns=captured_ns + 1_000_000, received_ns=captured_ns + 9_000_000, emitted_ns=captured_ns + 10_000_000,
        wire="inline", letterbox=box,
    )  # fmt: skip
    return Emission(result=result, labels=labels, dropped=dropped or {}, fps=25.0)


def view(camera: str = "door", *, captured: int = 10, superseded: int = 2) -> CameraView:
    accounting = Accounting()
    for number in range(captured):
        accounting.capture()
        if number < superseded:
            accounting.drop(number, Cause.SUPERSEDED)
        else:
            accounting.emit(number)
    buckets = tuple(captured - superseded if bound == 10 else 0 for bound in (*BOUNDS_MS, None))
    spread = Spread(p50_ms=9.0, p90_ms=9.5, p99_ms=10.0, buckets=buckets, sum_ms=72.0)
    return CameraView(
        camera=camera, model="digits", version="1", connected=True, ended=False, reason="", captured_fps=25.0,
        inferred_fps=20.0, totals=accounting.totals(), age=spread, answer=spread, in_flight=0, reconnects=1, errors=0,
        newest_s=0.02, found="2 x cat",
    )  # fmt: skip


def snapshot(*views: CameraView, sinks: tuple[SinkView, ...] = ()) -> Snapshot:
    return Snapshot(seconds=2.0, cameras=views or (view(),), sinks=sinks, wires={})
