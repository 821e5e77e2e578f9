"""Objects with keypoints, people for example: the rows of ``detect``, and the keypoints of each.

The served contract, for N frames, ``max_detections`` = M and K keypoints, is that of ``kit.tasks.detect`` and:

    keypoints  [N, M, K, 3]  FP32  x, y in pixels of the input frame, and visibility from 0 to 1; 0 after ``num``

A network that gives no visibility is served with 1.
"""

from __future__ import annotations

from kit.heads.interface import Reading
from kit.tasks import _detections
from kit.tasks.interface import Arrays, Head
from kit.types import Interpretation, Model, Normalization, Thresholds


class Pose:
    """Boxes with scores, classes and keypoints, of YOLO's heads."""

    name = "pose"
    rank = 8
    frames = True
    normalization = Normalization()
    labelled = "classes"
    inner = _detections.INNER

    def recognise(self, model: Model) -> Head | None:
        """Rows with keypoints behind the classes."""
        return _detections.recognise(model, _fits)

    def recognise_as(self, model: Model, head: str) -> Head | None:
        """The head that was asked for. Raises ``UnknownHeadError``."""
        return _detections.recognise_as(model, head, _fits)

    def expects(self) -> str:
        """One output, as Ultralytics' pose models have."""
        return "one float output [N, 4 + classes + keypoints * 3, anchors] with kpt_shape in its metadata"

    def thresholds(self, asked: Thresholds) -> Thresholds:
        """All of them are used."""
        return asked

    def head_graph(self, model: Model, meaning: Interpretation) -> str:
        """What ``detect`` does, and each row's keypoints."""
        assert meaning.layout is not None
        assert meaning.layout.keypoints is not None
        assert meaning.thresholds is not None
        (count, numbers), most = meaning.layout.keypoints, meaning.thresholds.max_detections
        shape = f"keypoint_shape = Constant <value = int64[4] {{0, {most}, {count}, {numbers}}}> ()"
        if numbers == 3:
            steps = "keypoints = Reshape (row_extras, keypoint_shape)"
        else:
            steps = f"""points = Reshape (row_extras, keypoint_shape)
              visible = Cast <to = 1> (present_column)
              axis_visible = Constant <value = int64[1] {{3}}> ()
              visible_column = Unsqueeze (visible, axis_visible)
              every_point = Constant <value = int64[4] {{1, 1, {count}, 1}}> ()
              visibility = Expand (visible_column, every_point)
              keypoints = Concat <axis = 3> (points, visibility)"""
        batch = _detections.batch(model, meaning)
        output = f", float[{batch}, {most}, {count}, 3] keypoints"
        return _detections.graph(model, meaning, self.name, output, f"{shape}\n{steps}")

    def reference(self, raw: Arrays, meaning: Interpretation) -> Arrays:
        """The keypoints of the kept boxes."""
        import numpy as np

        assert meaning.layout is not None
        assert meaning.layout.keypoints is not None
        found = _detections.reference(raw, meaning)
        extras = found.pop("extras")
        points = extras.reshape(*extras.shape[:2], *meaning.layout.keypoints)
        if points.shape[3] == 2:
            visible = np.broadcast_to((found["classes"] != -1)[..., None, None], (*points.shape[:3], 1))
            points = np.concatenate([points, visible.astype(np.float32)], axis=3)
        return {**found, "keypoints": points}


def _fits(reading: Reading) -> bool:
    return reading.layout.keypoints is not None


MEMBER = Pose()
