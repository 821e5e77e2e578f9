"""The training loss: task-aligned assignment (TOOD, arXiv:2108.07755), quality targets, complete IoU.

Shapes: N images, D digits (padded), A anchor points, C = 10 classes. Boxes are left, top, right, bottom in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from examples.digits.network import CLASS_COUNT

_CLASS_POWER, _IOU_POWER = 0.5, 6.0  # alpha and beta as in YOLOv8
_POSITIVES_PER_DIGIT = 10
_BOX_WEIGHT, _CLASS_WEIGHT = 5.0, 1.0
_EPSILON = 1e-9


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is in a batch, padded to the fullest image."""

    boxes: Tensor
    """`[N, D, 4]`, zeros where padded."""
    labels: Tensor
    """`[N, D]` int64, zeros where padded."""
    present: Tensor
    """`[N, D]` bool."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What each anchor point should answer."""

    positive: Tensor
    """`[N, A]` bool: the point is responsible for a digit."""
    boxes: Tensor
    """`[N, A, 4]`, that digit's box."""
    qualities: Tensor
    """`[N, A, C]`, the wanted probabilities: 0 but for the digit's class."""


def to_corners(centres: Tensor) -> Tensor:
    """Centre x, centre y, width, height to left, top, right, bottom, in the last axis."""
    middle, size = centres.split(2, dim=-1)
    return torch.cat((middle - size / 2, middle + size / 2), dim=-1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes that broadcast, `[..., 4]` to `[...]`."""
    sides = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    common = sides.clamp(min=0).prod(dim=-1)
    areas = (first[..., 2:] - first[..., :2]).prod(dim=-1) + (second[..., 2:] - second[..., :2]).prod(dim=-1)
    return common / (areas - common + _EPSILON)


def complete_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU less penalties for distant centres and other proportions (arXiv:1911.08287), `[..., 4]` to `[...]`."""
    overlap = iou(first, second)
    hull = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]).square().sum(dim=-1) / 4
    sizes = [(box[..., 2:] - box[..., :2]).clamp(min=_EPSILON) for box in (first, second)]
    angles = [torch.atan(size[..., 0] / size[..., 1]) for size in sizes]
    proportion = (angles[0] - angles[1]).square() * (4 / math.pi**2)
    weight = (proportion / (1 - overlap + proportion + _EPSILON)).detach()
    return overlap - apart / (hull.square().sum(dim=-1) + _EPSILON) - weight * proportion


@torch.no_grad()  # type: ignore[untyped-decorator]
def assign(probabilities: Tensor, boxes: Tensor, anchors: Tensor, truth: Truth) -> Assignment:
    """Give each digit the ten points inside it that already answer best; each point to one digit at most.

    Takes the network's `probabilities` `[N, A, C]`, its `boxes` `[N, A, 4]` and `anchors` `[A, 2]` (x, y).
    """
    points = anchors[None, None]
    margins = torch.cat((points - truth.boxes[:, :, None, :2], truth.boxes[:, :, None, 2:] - points), dim=-1)
    inside = (margins.amin(dim=-1) > 0) & truth.present[:, :, None]
    overlaps = iou(truth.boxes[:, :, None], boxes[:, None]) * inside
    class_rows = truth.labels[:, :, None].expand(-1, -1, probabilities.shape[1])
    scores = probabilities.transpose(1, 2).gather(1, class_rows)
    alignment = scores.pow(_CLASS_POWER) * overlaps.pow(_IOU_POWER) * inside
    best = alignment.topk(_POSITIVES_PER_DIGIT, dim=-1).indices
    chosen = torch.zeros_like(inside).scatter_(-1, best, value=True) & inside
    chosen &= overlaps >= (overlaps * chosen).amax(dim=1, keepdim=True)
    return _targets(chosen, alignment, overlaps, truth)


def _targets(chosen: Tensor, alignment: Tensor, overlaps: Tensor, truth: Truth) -> Assignment:
    """From chosen pairs `[N, D, A]` to what each point should answer."""
    owner = chosen.to(torch.uint8).argmax(dim=1)
    aligned = alignment * chosen
    strongest = aligned.amax(dim=-1, keepdim=True)
    quality = aligned / (strongest + _EPSILON) * (overlaps * chosen).amax(dim=-1, keepdim=True)
    labels = truth.labels.gather(1, owner)
    wanted = functional.one_hot(labels, CLASS_COUNT) * quality.gather(1, owner[:, None]).squeeze(1)[..., None]
    boxes = truth.boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    return Assignment(positive=chosen.any(dim=1), boxes=boxes, qualities=wanted)


def detection_loss(logits: Tensor, boxes: Tensor, anchors: Tensor, truth: Truth) -> Tensor:
    """The mean loss of a batch, a scalar.

    Takes `logits` `[N, A, C]`, decoded `boxes` `[N, A, 4]` and `anchors` `[A, 2]` (x, y).
    """
    wanted = assign(logits.detach().sigmoid(), boxes.detach(), anchors, truth)
    total = wanted.qualities.sum().clamp(min=1.0)
    class_loss = functional.binary_cross_entropy_with_logits(logits, wanted.qualities, reduction="sum") / total
    weights = wanted.qualities.sum(dim=-1)[wanted.positive]
    misses = 1 - complete_iou(boxes[wanted.positive], wanted.boxes[wanted.positive])
    return _BOX_WEIGHT * (misses * weights).sum() / total + _CLASS_WEIGHT * class_loss
