"""Lets torchvision's wheel from PyPI, which is linked against CUDA, be imported beside a CPU build of PyTorch.

On ``PYTHONPATH`` of the processes that ``matrix.py`` starts. torchvision registers shapes for two operators of its
library, which cannot be loaded there; they are defined when torchvision is imported, and nms in plain PyTorch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from typing import Any

_LIBRARIES: list[Any] = []  # their operators live as long as they do


class _Definer(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:  # noqa: ARG002
        if name == "torchvision":
            sys.meta_path.remove(self)
            _define()


def _define() -> None:
    import torch

    if torch.version.cuda is not None:
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _suppressed, "CPU")
    _LIBRARIES.append(library)


def _suppressed(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Greedy NMS: indices of the boxes [N, 4] that stay, best first."""
    import torch

    order = scores.argsort(descending=True, stable=True)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[order, :2])
        high = torch.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        order = order[shared / (area[best] + area[order] - shared) <= iou_threshold]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)


sys.meta_path.insert(0, _Definer())
