"""The newest picture of each camera, drawn when somebody looks, and once for all who do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.stream.sinks.interface import Emission
from kit.stream.snapshot import CameraView, Snapshot


@dataclass(kw_only=True)
class _Hung:
    """A result, and its picture once it was asked for."""

    emission: Emission
    serial: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    jpeg: bytes = b""


class Gallery:
    """Used by the sink's thread and by one for each viewer."""

    def __init__(self, watch: Callable[[], Snapshot]) -> None:
        self._watch = watch
        self._changed = threading.Condition()
        self._hung: dict[str, _Hung] = {}
        self._serial = 0
        self.closed = False

    def hang(self, emission: Emission) -> None:
        """Replace a camera's picture, unless the answer was overtaken by that of a newer frame."""
        frame = emission.result.frame
        with self._changed:
            before = self._hung.get(frame.camera)
            if before is not None and before.emission.result.frame.number > frame.number:
                return
            self._serial += 1
            self._hung[frame.camera] = _Hung(emission=emission, serial=self._serial)
            self._changed.notify_all()

    def close(self) -> None:
        """Wake and let go whoever waits."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def newer(self, seen: Mapping[str, int], camera: str | None, timeout_s: float) -> dict[str, int]:
        """Wait for pictures that are newer than ``seen``, of one camera or of all; return their serials."""
        with self._changed:

            def found() -> dict[str, int]:
                return {
                    name: hung.serial
                    for name, hung in self._hung.items()
                    if camera in (None, name) and hung.serial > seen.get(name, 0)
                }

            self._changed.wait_for(lambda: self.closed or found(), timeout_s)
            return found()

    def jpeg(self, camera: str) -> bytes:
        """Return a camera's newest picture; empty where it has none yet."""
        from kit.stream import drawing

        with self._changed:
            hung = self._hung.get(camera)
        if hung is None:
            return b""
        with hung.lock:
            if not hung.jpeg:
                result = hung.emission.result
                picture = drawing.annotate(result.frame.image, result.output, hung.emission.labels)
                hung.jpeg = drawing.jpeg(picture)
            return hung.jpeg

    def cameras(self) -> list[str]:
        """Return the names."""
        return [view.camera for view in self._watch().cameras]

    def state(self) -> dict[str, Any]:
        """Return how the cameras are doing, for the page's script."""
        now = self._watch()
        return {"seconds": round(now.seconds, 1), "cameras": [_state(view) for view in now.cameras]}


def _state(view: CameraView) -> dict[str, Any]:
    return {
        "camera": view.camera,
        "model": f"{view.model} {view.version}".strip(),
        "live": view.connected,
        "ended": view.ended,
        "reason": view.reason,
        "captured_fps": round(view.captured_fps, 1),
        "inferred_fps": round(view.inferred_fps, 1),
        "age_p50_ms": round(view.age.p50_ms, 1) if view.age else None,
        "age_p99_ms": round(view.age.p99_ms, 1) if view.age else None,
        "captured": view.totals.captured,
        "emitted": view.totals.emitted,
        "dropped": {cause.value: count for cause, count in view.totals.dropped.items() if count},
        "found": view.found,
    }
