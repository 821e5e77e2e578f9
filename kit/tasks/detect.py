"""Objects in a picture: a fixed number of rows, of which the first ``num`` are detections.

The served contract, for N frames and ``max_detections`` = M:

    num      [N, 1]     INT32  how many rows are detections
    boxes    [N, M, 4]  FP32   x1, y1, x2, y2 in pixels of the input frame
    scores   [N, M]     FP32   in falling order; 0 in the rows after ``num``
    classes  [N, M]     INT32  from 0; -1 in the rows after ``num``

How the network's own outputs are laid out is its head's (``kit.heads``). NMS, for heads that need it, is class-aware:
boxes of different classes never suppress each other. An anchor gives at most its best class. The graph uses standard
ONNX operators only, so that every runtime takes it.
"""

from __future__ import annotations

from kit import heads
from kit.heads.interface import Reading
from kit.tasks import _detections
from kit.tasks.interface import Arrays, Head
from kit.types import Interpretation, Model, Normalization, Thresholds


class Detect:
    """Boxes with scores and classes, of any head."""

    name = "detect"
    rank = 10
    frames = True
    normalization = Normalization()
    labelled = "classes"
    inner = _detections.INNER

    def recognise(self, model: Model) -> Head | None:
        """Outputs that a head reads as boxes, and nothing else for each."""
        return _detections.recognise(model, _fits)

    def recognise_as(self, model: Model, head: str) -> Head | None:
        """The head that was asked for. Raises ``UnknownHeadError``."""
        return _detections.recognise_as(model, head, _fits)

    def expects(self) -> str:
        """Every head's outputs."""
        return heads.expects()

    def thresholds(self, asked: Thresholds) -> Thresholds:
        """All of them are used."""
        return asked

    def head_graph(self, model: Model, meaning: Interpretation) -> str:
        """Best class per anchor, best anchors, NMS per class, and the survivors sorted into fixed rows."""
        return _detections.graph(model, meaning, self.name)

    def reference(self, raw: Arrays, meaning: Interpretation) -> Arrays:
        """Greedy NMS, one class and one box at a time."""
        return _detections.reference(raw, meaning)


def _fits(reading: Reading) -> bool:
    return not reading.layout.extras


MEMBER = Detect()
