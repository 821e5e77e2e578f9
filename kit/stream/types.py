"""The values that travel through the stream: frozen, keyword-only, without I/O.

Times that end in ``_ns`` are of ``time.monotonic_ns``; ``_s`` are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture of one camera, as it left the decoder."""

    camera: str
    number: int
    """From 0, per camera; counts captured frames, so that a gap is a dropped one."""
    image: npt.NDArray[np.uint8]
    """``[H, W, 3]``, RGB."""
    pts_s: float | None
    """The source's own presentation time, where it has one."""
    captured_ns: int
    """``time.monotonic_ns`` when it left the decoder."""
    wall_s: float
    """``time.time`` then."""
