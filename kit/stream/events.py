"""What becomes of a camera, told once each: for a log, a metric or a callback. Without credentials."""

from __future__ import annotations

import enum
import logging
import time
from dataclasses import dataclass, field

_LOG = logging.getLogger("kit.stream")


class Kind(enum.Enum):
    """What happened."""

    CONNECTED = "connected"
    """The first picture came."""
    LOST = "lost"
    """No connection, or none any more; it is tried again."""
    REPLACED = "replaced"
    """The reader gave nothing new in time and was left behind; it is tried again."""
    RECOVERED = "recovered"
    """The first picture came after a loss."""
    ENDED = "ended"
    """A source that has an end came to it."""
    FAILED = "failed"
    """A source that is not tried again cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a camera."""

    camera: str
    kind: Kind
    reason: str = ""
    permanent: bool = False
    """Whether somebody must act before it can work again."""
    outage_s: float | None = None
    """From the last new picture to the first after it, of ``RECOVERED``."""
    wall_s: float = field(default_factory=time.time)

    def __str__(self) -> str:
        said = f"{self.camera}: {self.kind.value}"
        if self.outage_s is not None:
            said += f" after {self.outage_s:.1f} s"
        return f"{said}: {self.reason}" if self.reason else said


def log_event(event: Event) -> None:
    """Write an event to the logger ``kit.stream``; what somebody must mend is an error, a loss is a warning."""
    losses = (Kind.LOST, Kind.REPLACED)
    bad = event.permanent or event.kind is Kind.FAILED
    level = logging.ERROR if bad else logging.WARNING if event.kind in losses else logging.INFO
    _LOG.log(level, "%s", event)
