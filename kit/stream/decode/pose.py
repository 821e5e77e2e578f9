"""Objects with keypoints as ``kit generate`` serves them: the outputs of ``detect``, and ``keypoints`` [M, P, 3]."""

from __future__ import annotations

from kit.stream.decode.interface import Arrays, Reading, Recognition, Shown, rows
from kit.stream.results import Poses

_NAMES = frozenset({"num", "boxes", "scores", "classes", "keypoints"})


class ServedPose:
    """The outputs of ``kit.tasks.pose``."""

    name = "pose"
    task = "pose"
    rank = 9

    def recognise(self, shown: Shown) -> Recognition | None:
        """By the five names."""
        names = {tensor.name for tensor in shown.outputs}
        return Recognition(reason="outputs num, boxes, scores, classes and keypoints") if names >= _NAMES else None

    def expects(self, head: str | None) -> str:  # noqa: ARG002
        """The five names."""
        return "outputs num, boxes, scores, classes and keypoints"

    def decode(self, arrays: Arrays, reading: Reading) -> Poses:
        """Read the rows, and map the keypoints as the boxes."""
        import numpy as np

        found = rows(arrays, reading.letterbox)
        keypoints = arrays["keypoints"][: len(found)].astype(np.float32)
        points = keypoints[..., :2].reshape(-1, 2)
        keypoints[..., :2] = reading.letterbox.to_source(np.tile(points, 2))[:, :2].reshape(keypoints[..., :2].shape)
        return Poses(boxes=found.boxes, scores=found.scores, classes=found.classes, keypoints=keypoints)


MEMBER = ServedPose()
