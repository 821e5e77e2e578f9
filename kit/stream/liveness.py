"""Whether a picture is a new one: by the source's own clock, not by the fact that a read returned.

Decoders hand out what they still hold after the network died, and some cameras repeat their last picture for ever; in
both a reader looks busy. https://github.com/opencv/opencv/issues/20255 and the like.
"""

from __future__ import annotations

_NEW_EPOCH_S = 0.2


class Liveness:
    """Follows the presentation times of one connection. Not thread-safe: its reader's own.

    A time is new if it is after the last new one. One that is well before it begins a new epoch: the camera's clock
    was set (as by RTCP's sender reports), or it began anew. Where a source has no times, each picture is new.
    """

    def __init__(self) -> None:
        self._newest_s: float | None = None

    def advances(self, pts_s: float | None) -> bool:
        """Tell whether a picture of this time is a new one, and remember it."""
        if pts_s is None:
            return True
        newest = self._newest_s
        if newest is not None and newest - _NEW_EPOCH_S <= pts_s <= newest:
            return False
        self._newest_s = pts_s
        return True
