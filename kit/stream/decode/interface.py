"""What a decoder knows: to recognise a model's outputs, and to turn them into what they mean in the source frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from kit.stream.letterbox import Letterbox
from kit.stream.results import Detections, Output
from kit.types import Normalization, Tensor, Thresholds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "Mapping[str, npt.NDArray[np.generic]]"
"""A model's outputs for one frame, by name, without the batch dimension."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a model shows of itself: its outputs for one frame (without the batch) and its input's size in pixels.

    ``head`` is what the user says of the layout, as ``kit generate --head`` takes it.
    """

    outputs: tuple[Tensor, ...]
    height: int
    width: int
    head: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a frame's outputs are read with."""

    letterbox: Letterbox
    thresholds: Thresholds
    shown: Shown


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """What a model's outputs were recognised by, and how its pixels are made where its input takes floats."""

    reason: str
    normalization: Normalization = field(default_factory=Normalization)
    color: str = "rgb"


IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""torchvision's, for classifiers and all that is made of them: https://docs.pytorch.org/vision/stable/models.html"""


def rows(arrays: Arrays, letterbox: Letterbox) -> Detections:
    """Return the first ``num`` rows of the outputs that ``kit.tasks.detect`` serves, in pixels of the source."""
    import numpy as np

    count = int(arrays["num"].reshape(-1)[0])
    return Detections(
        boxes=letterbox.to_source(arrays["boxes"][:count].astype(np.float32, copy=False)),
        scores=arrays["scores"][:count].astype(np.float32, copy=False),
        classes=arrays["classes"][:count].astype(np.int32, copy=False),
    )


@runtime_checkable
class Decoder(Protocol):
    """One layout of outputs.

    ``task`` is what a user calls it; several layouts may be of one task. ``rank`` orders recognition.
    """

    name: str
    task: str
    rank: int

    def recognise(self, shown: Shown) -> Recognition | None:
        """Return what the outputs were recognised by, or None where they are something else.

        Raises ``UnknownHeadError`` where the user names a head that there is not.
        """

    def expects(self, head: str | None) -> str:
        """Say in a phrase what outputs this decoder takes (those of ``head``, where the user named one)."""

    def decode(self, arrays: Arrays, reading: Reading) -> Output:
        """Return what the outputs mean. Raises ``KeyError`` or ``ValueError`` where they are others."""
