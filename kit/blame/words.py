"""What a comparison found, in words that the terminal and the page share."""

from __future__ import annotations

from kit.blame.noise import CEILING_DB
from kit.blame.values import Comparison, LayerDifference, Metric, Rows


def decibels(value: float) -> str:
    """Return an SQNR as text; ``equal`` where there is no difference."""
    return "equal" if value >= CEILING_DB else f"{value:.1f} dB"


def place(layer: LayerDifference) -> str:
    """Return the PyTorch module of a layer, else that of the nearest one before; empty where nothing tells."""
    return layer.module or (f"after {layer.near}" if layer.near else "")


def describe(layer: LayerDifference) -> str:
    """Return a layer in words: its tensor, operator, what it is computed from, its module and SQNR."""
    module = f", module {layer.module}" if layer.module else f", {place(layer)}" if layer.near else ""
    given = f" of {', '.join(layer.sources[:2])}" if layer.sources and not layer.module else ""
    return f"{layer.name} ({layer.operator}{given}{module}), {decibels(layer.sqnr_db)}"


def blame(found: Comparison) -> tuple[tuple[str, str], ...]:
    """Return where it begins, as pairs of a heading and a description; nothing where no tensor diverges."""
    if found.first_diverging is None or found.culprit is None:
        return ()
    first = ("first to diverge", describe(found.layers[found.first_diverging]))
    if found.culprit == found.first_diverging:
        return (first,)
    layer = found.layers[found.culprit]
    return (first, ("lost most", f"{describe(layer)}, {layer.lost_db:.0f} dB lost there"))


def verdict(found: Comparison) -> str:
    """Return the result in a line."""
    if found.equal:
        return "equal within the tolerance"
    return f"they differ: {', '.join(one.output for one in found.outputs if not one.equal)}"


def asked(found: Comparison) -> str:
    """Return what both were asked."""
    what = "pictures" if found.inputs == "images" else "random inputs"
    return f"{found.count} {what}" + (f" of batch {found.batch}" if found.batch > 1 else "")


def rows(found: Rows) -> str:
    """Return what became of detections."""
    if not found.matched:
        return f"detections: {found.first} in A, {found.second} in B, none in both"
    return (
        f"detections: {found.first} in A, {found.second} in B, {found.matched} in both; of those the least IoU is "
        f"{found.least_iou:.3f}, the largest change of score {found.largest_score_change:.3g}"
    )


def metric(found: Metric) -> str:
    """Return what became of the metric, in points of 100."""
    apart = 100 * (found.second - found.first)
    return (
        f"{found.name}: {found.first:.3f} in A, {found.second:.3f} in B, {apart:+.1f} points "
        f"({100 * found.low:+.1f} to {100 * found.high:+.1f}) on {found.images} pictures"
    )
