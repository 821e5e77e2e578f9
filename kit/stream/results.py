"""What comes back for a frame: a result with its task's output, or the cause of its loss.

Times that end in ``_ns`` are of ``time.monotonic_ns``. Boxes are x1, y1, x2, y2 in pixels of the source frame:
0 is the left edge of the first pixel, the frame's width the right edge of the last.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from kit.stream.accounting import Cause  # for those who look for it beside the results
from kit.stream.letterbox import Letterbox
from kit.stream.types import Frame

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_Element = TypeVar("_Element", bound="np.generic")


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Objects in a frame, the surest first: K of them."""

    boxes: npt.NDArray[np.float32]
    """``[K, 4]``, inside the frame."""
    scores: npt.NDArray[np.float32]
    """``[K]``, 0 to 1."""
    classes: npt.NDArray[np.int32]
    """``[K]``, from 0."""

    def __len__(self) -> int:
        """Return K."""
        return len(self.scores)


@dataclass(frozen=True, kw_only=True)
class Instances(Detections):
    """Objects with masks: ``masks`` ``[K, h, w]`` uint8, of the frame only, at the network's resolution."""

    masks: npt.NDArray[np.uint8]
    source_width: int
    source_height: int

    def mask_at_source(self, index: int) -> npt.NDArray[np.uint8]:
        """Return an object's mask ``[H, W]`` in pixels of the source frame: 1 where it is."""
        return spread(self.masks[index], self.source_height, self.source_width)


@dataclass(frozen=True, kw_only=True)
class Poses(Detections):
    """Objects with keypoints."""

    keypoints: npt.NDArray[np.float32]
    """``[K, P, 3]``: x and y in pixels of the source frame, inside it, and visibility from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Classification:
    """How likely each class is: ``probabilities`` ``[C]`` float32, 0 to 1."""

    probabilities: npt.NDArray[np.float32]

    def top(self, count: int) -> tuple[tuple[int, float], ...]:
        """Return the likeliest classes and their probabilities; of equal ones the first."""
        import numpy as np

        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return tuple((int(index), float(self.probabilities[index])) for index in order)


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """A class for each pixel: ``classes`` ``[h, w]`` uint8 or int32, of the frame only, at the network's resolution."""

    classes: npt.NDArray[np.integer[Any]]
    source_width: int
    source_height: int

    def at_source(self) -> npt.NDArray[np.integer[Any]]:
        """Return the classes ``[H, W]`` of the source frame's pixels: each that of the nearest."""
        return spread(self.classes, self.source_height, self.source_width)


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """A picture as a point: ``vector`` ``[D]`` float32."""

    vector: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """The model's outputs as they are, by name, without the batch dimension."""

    arrays: Mapping[str, npt.NDArray[np.generic]]


Output: TypeAlias = "Detections | Classification | Segmentation | Embedding | Tensors"


def spread(values: npt.NDArray[_Element], height: int, width: int) -> npt.NDArray[_Element]:
    """Return a map ``[height, width]`` in which each pixel has the value ``[h, w]`` that lies over its centre."""
    import numpy as np

    rows = (np.arange(height) * 2 + 1) * values.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * values.shape[1] // (2 * width)
    nearest: npt.NDArray[_Element] = values[rows[:, None], columns[None, :]]
    return nearest


@dataclass(frozen=True, kw_only=True)
class Result:
    """A frame's answer. ``captured_ns <= sent_ns <= received_ns <= emitted_ns``; the first is the frame's own."""

    frame: Frame
    output: Output
    model: str
    version: str
    """The version that made it, in the server's own word."""
    sent_ns: int
    """When the request was handed to gRPC."""
    received_ns: int
    """When its answer had arrived."""
    emitted_ns: int
    """When it was decoded, just before whoever asked was called."""
    wire: str
    """How the frame travelled: a member of ``kit.stream.wire``."""
    letterbox: Letterbox
    """How it was fitted into the model's input."""


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A frame that will have no result; ``reason`` is one line, for a person."""

    frame: Frame
    cause: Cause
    reason: str


class Change(enum.Enum):
    """What changed between the client and its server."""

    READY = "ready"
    """Requests can be sent; the text says to what model, by what wire and why."""
    WAITING = "waiting"
    """The server does not answer, or not with this model yet; it is asked again and again."""
    REFUSED = "refused"
    """It will not work like this; it is still asked now and then, because a model can be replaced."""
    VERSION = "version"
    """Another version of the model answers."""
    TROUBLE = "trouble"
    """Requests fail; sending goes on, slower."""
    SINK = "sink"
    """Whoever was called with a result raised an exception."""


@dataclass(frozen=True, kw_only=True)
class ServerEvent:
    """Something that a person wants to read once: ``text`` is one line."""

    change: Change
    text: str


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Frames since the start: ``submitted == emitted + sum(dropped) + waiting + in_flight``, at any moment."""

    submitted: int
    emitted: int
    waiting: int
    in_flight: int
    dropped: Mapping[Cause, int] = field(default_factory=dict)
