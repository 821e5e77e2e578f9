"""What a comparison of two models found: frozen, as it is printed, drawn and written as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two models. ``precision`` is ``fp32``, ``fp16`` or ``int8``; None where nothing tells.

    ``layers`` is how many of its tensors can be looked at; None where it shows none.
    """

    reference: str
    runner: str
    precision: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: int | None = None


@dataclass(frozen=True, kw_only=True)
class OutputDifference:
    """An output of both, over all inputs. ``allowed`` bounds ``relative``: see ``kit.compare.difference``.

    ``nan`` counts elements that are no number, or infinite, in the second alone.
    """

    output: str
    other: str
    types: tuple[str, str]
    shape: tuple[int, ...]
    maximum: float
    relative: float
    cosine: float
    sqnr_db: float
    nan: int
    allowed: float
    equal: bool


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Detections of both, matched by class and overlap; counts over all inputs. Changes are those of matched rows."""

    first: int
    second: int
    matched: int
    least_iou: float
    largest_score_change: float


@dataclass(frozen=True, kw_only=True)
class LayerDifference:
    """A tensor inside both. ``lost_db`` is how much worse its SQNR is than that of the tensors it is computed from.

    ``module`` is the path of the PyTorch module it is of, ``near`` that of the nearest one before where itself has
    none; ``sources`` are the tensors it is computed from. ``diverges``: its SQNR is below the least that the precision
    explains. ``decided``: it depends on a choice (TopK, NMS, a comparison), which flips on the least difference; such a
    tensor never counts as diverging. ``by``: see ``kit.blame.matching``.
    """

    name: str
    other: str
    operator: str
    module: str
    near: str
    by: str
    sources: tuple[str, ...]
    sqnr_db: float
    cosine: float
    maximum: float
    largest: float
    nan: int
    lost_db: float
    diverges: bool
    decided: bool = False


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric of both models on a validation set, and those of each class: (name, first, second).

    ``low`` and ``high`` bound the second minus the first with 95 % confidence. ``notes`` are what a gate would object
    to, and what is not sure.
    """

    name: str
    first: float
    second: float
    low: float
    high: float
    images: int
    classes: tuple[tuple[str, float, float], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models beside each other.

    ``first_diverging`` and ``culprit`` are positions in ``layers``: the first tensor that diverges, and the one that
    lost most; None where none diverges. ``unmatched`` counts the layers of the first model
    that the second has not.
    """

    first: Side
    second: Side
    inputs: str
    count: int
    batch: int
    tolerance: float
    least_sqnr_db: float
    equal: bool
    outputs: tuple[OutputDifference, ...]
    rows: Rows | None = None
    metric: Metric | None = None
    layers: tuple[LayerDifference, ...] = ()
    unmatched: int = 0
    first_diverging: int | None = None
    culprit: int | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
