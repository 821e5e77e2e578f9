"""Whose turn it is: one waiting frame per camera, caps on what is under way, and round robin between the cameras.

Plain rules without threads and clocks of their own: whoever uses them holds a lock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kit.stream.types import Frame


@dataclass(kw_only=True)
class Turns:
    """The waiting frames and the numbers of requests under way.

    Laws: a camera has at most one frame waiting and ``per_camera`` under way; all together have ``overall`` under way;
    between two turns of a camera whose frame waits, every other camera with a frame waiting and room has had one.
    """

    per_camera: int
    overall: int
    _waiting: dict[str, Frame] = field(default_factory=dict)
    """In the order of their turns: a camera moves to the end when it had one."""
    _order: dict[str, None] = field(default_factory=dict)
    _under_way: Counter[str] = field(default_factory=Counter)

    @property
    def waiting(self) -> int:
        """How many frames wait."""
        return len(self._waiting)

    @property
    def under_way(self) -> int:
        """How many requests are under way."""
        return sum(self._under_way.values())

    def full(self, camera: str) -> bool:
        """Return whether a frame of this camera would have to wait for an answer."""
        return self._under_way[camera] >= self.per_camera or self.under_way >= self.overall

    def waits(self, camera: str) -> bool:
        """Return whether a frame of this camera waits."""
        return camera in self._waiting

    def put(self, frame: Frame) -> Frame | None:
        """Let a frame wait; return the older one whose place it takes."""
        older = self._waiting.get(frame.camera)
        self._waiting[frame.camera] = frame
        self._order.setdefault(frame.camera)
        return older

    def put_back(self, frame: Frame) -> bool:
        """Let a frame wait again, unless a newer one does; return whether it does."""
        if frame.camera in self._waiting:
            return False
        self.put(frame)
        return True

    def take(self) -> Frame | None:
        """Return the frame whose turn it is, which is under way from now on; None where none may be sent."""
        if self.under_way >= self.overall:
            return None
        for camera in self._order:
            if camera in self._waiting and self._under_way[camera] < self.per_camera:
                self._order[camera] = self._order.pop(camera)
                self._under_way[camera] += 1
                return self._waiting.pop(camera)
        return None

    def done(self, camera: str) -> None:
        """Count one request of a camera less."""
        assert self._under_way[camera] > 0, camera
        self._under_way[camera] -= 1

    def captured_before(self, limit_ns: int) -> list[Frame]:
        """Return the waiting frames that were captured before a time, which wait no longer."""
        old = [frame for frame in self._waiting.values() if frame.captured_ns < limit_ns]
        for frame in old:
            del self._waiting[frame.camera]
        return old

    def oldest_ns(self) -> int | None:
        """Return when the oldest waiting frame was captured."""
        return min((frame.captured_ns for frame in self._waiting.values()), default=None)

    def clear(self) -> list[Frame]:
        """Return all that waits, which waits no longer."""
        frames = list(self._waiting.values())
        self._waiting.clear()
        return frames
