"""torchvision's detectors: boxes [K, 4], scores [K], labels [K] of one picture, K as many as there are; NMS is done.

Boxes are x1, y1, x2, y2 in pixels, or fractions of the frame. Labels are served as they are: torchvision's begin at 1.
The same with a batch in front, [N, K, 4], [N, K], [N, K], is what detectors with NMS in their graph give.
Source: https://docs.pytorch.org/vision/stable/models/faster_rcnn.html
"""

from __future__ import annotations

from kit.evidence import Evidence
from kit.heads import _outputs, _pairs, _text
from kit.heads.interface import Array, Decoded, Reading
from kit.types import Certainty, DataType, Interpretation, Layout, Model, Tensor

_WHOLE = (DataType.INT64, DataType.INT32)


class Detections:
    """Three lists of what was found."""

    name = "detections"
    suppress = False
    words = (_pairs.UNITS,)

    def recognise(self, seen: Evidence, asked: tuple[str, ...] | None) -> Reading | None:
        """By the element types: floats [K, 4], floats [K] and whole numbers [K]."""
        found = _three(seen)
        if found is None:
            return None
        boxes = seen.outputs[found[0]]
        if len(boxes.shape) == 2 and (seen.picture is None or seen.picture.shape[0] != 1):
            return None
        values = None if seen.samples is None else seen.samples[found[0]]
        unit = _pairs.unit(values, asked or (), "pixels")
        if unit == "fractions" and seen.frame is None:
            return None
        batch = "" if len(boxes.shape) == 2 else "N, "
        return Reading(
            layout=Layout(outputs=found, words=(unit,), frame=seen.frame),
            class_count=None,
            certainty=Certainty.CERTAIN,
            reason=f"boxes [{batch}K, 4], scores [{batch}K] and labels [{batch}K] of detections, as torchvision has; "
            f"boxes are in {unit}; labels are served as they are{_outputs.ignored(seen, found)}",
        )

    def anchor_axis(self, layout: Layout) -> int:  # noqa: ARG002
        """The last but one of the boxes."""
        return -2

    def expects(self) -> str:
        """Three outputs."""
        return "outputs boxes [K, 4], scores [K] and whole numbers [K] of one picture"

    def graph(self, model: Model, meaning: Interpretation) -> str:
        """A batch of one in front where there is none; boxes to pixels."""
        layout = meaning.layout or Layout()
        flat = len(model.signature.outputs[layout.outputs[0]].shape) == 2
        axis = "batch_axis = Constant <value = int64[1] {0}> ()" if flat else ""
        names = {"boxes_found": "raw0", "best": "raw1", "labels_found": "raw2"}
        steps = [f"{n} = {f'Unsqueeze ({r}, batch_axis)' if flat else f'Identity ({r})'}" for n, r in names.items()]
        classes = "best_class = Cast <to = 7> (labels_found)"
        return "\n".join([axis, *steps, _text.in_pixels("boxes_found", layout, "corners"), classes])

    def decode(self, raw: tuple[Array, ...], meaning: Interpretation) -> Decoded:
        """The same in numpy."""
        import numpy as np

        from kit.heads import _arrays

        boxes, best, labels = raw if raw[0].ndim == 3 else tuple(array[None] for array in raw)
        corners = _arrays.in_pixels(_arrays.floats(boxes), meaning.layout or Layout())
        return Decoded(corners=corners, best=_arrays.floats(best), best_class=labels.astype(np.int64))


def _three(seen: Evidence) -> tuple[int, int, int] | None:
    """Return the positions of boxes, scores and labels, where the first three outputs are these; else None."""
    outputs = seen.outputs[:3]
    if len(outputs) < 3 or any(len(t.shape) < 3 for t in seen.outputs[3:]):
        return None
    rank = max(len(t.shape) for t in outputs)
    boxes = [i for i, t in enumerate(outputs) if _is_boxes(t, rank)]
    labels = [i for i, t in enumerate(outputs) if t.dtype in _WHOLE and len(t.shape) == rank - 1]
    scores = [i for i, t in enumerate(outputs) if t.dtype in _outputs.FLOATS and len(t.shape) == rank - 1]
    if len(boxes) != 1 or len(labels) != 1 or len(scores) != 1:
        return None
    return boxes[0], scores[0], labels[0]


def _is_boxes(tensor: Tensor, rank: int) -> bool:
    return tensor.dtype in _outputs.FLOATS and len(tensor.shape) == rank and rank in (2, 3) and tensor.shape[-1] == 4


MEMBER = Detections()
