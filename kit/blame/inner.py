"""The tensors inside two models, pair by pair: a few at a time, so that memory is bounded however large they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from kit.blame import layers, matching
from kit.blame.instrument import Instrument
from kit.blame.matching import Match
from kit.blame.noise import CEILING_DB, Meter, Noise
from kit.blame.values import LayerDifference

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"
Arrays: TypeAlias = "dict[str, Array]"

MOST_BYTES = 256 << 20
"""Of inner tensors that are held at a time, of both models together."""

LEAST_SQNR_DB = {"fp32": 80.0, "fp16": 40.0, "int8": 10.0}
"""Below, a tensor diverges: more than the coarser of the two precisions explains, deep inside a network.

A rounding to FP16 leaves 71 dB (11 bits, 6.02 dB each, and 4.77), one to 8 bits of a bell-shaped range 30 to 40; it
adds up over tens of layers. At 10 dB a tenth of a tensor is noise.
"""

_DECISIONS = frozenset({
    "TopK", "ArgMax", "ArgMin", "NonMaxSuppression", "NonZero", "Equal", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "Where", "Unique", "OneHot", "Hardmax",
})  # fmt: skip
"""Operators whose answers jump: behind them, tensors differ by what was chosen."""

_CLEAN_DB = {"fp32": 120.0, "fp16": 60.0, "int8": 35.0}
"""What is not counted as lost above: that much noise every tensor of this precision has."""


def matches(first: Instrument, second: Instrument, inputs: Mapping[str, str]) -> tuple[Match, ...]:
    """Return which tensors of the two are the same: by structure for graphs, by module where PyTorch is one of them."""
    if first.by_module or second.by_module:
        return matching.match_modules(first.network, second.network)
    return matching.match(first.network, second.network, inputs)


def measure(
    first: Instrument,
    second: Instrument,
    pairs: Sequence[Match],
    fed: Iterable[tuple[Arrays, Arrays]],
    tell: Callable[[int, int], None],
) -> dict[str, Noise]:
    """Return the noise of each pair by the first layer's name; pairs of other shapes or types are left out.

    ``fed`` is gone through once for each portion of tensors. ``tell(done, all)`` counts the pairs.
    """
    found: dict[str, Noise] = {}
    made = next(iter(fed), None)
    if made is None or not pairs:
        return found
    sizes = _sizes(first, second, pairs, made)
    done = 0
    for portion in _portions(pairs, sizes):
        found.update(_portion(first, second, portion, fed))
        done += len(portion)
        tell(done, len(pairs))
    return found


def differences(
    network: layers.Network, pairs: Sequence[Match], noises: Mapping[str, Noise], precision: str, least_db: float
) -> tuple[LayerDifference, ...]:
    """Return what was measured, in the order of the first network, with what each tensor lost."""
    compared = [pair for pair in pairs if pair.first.name in noises]
    before = layers.ancestors(network, noises)
    near, decided = layers.near(network), layers.behind(network, _DECISIONS)
    made = []
    for pair in compared:
        noise = noises[pair.first.name]
        entering = min((noises[name].sqnr_db for name in before.get(pair.first.name, ())), default=CEILING_DB)
        made.append(
            LayerDifference(
                name=pair.first.name,
                other=pair.second.name,
                operator=pair.first.operator,
                module=pair.first.module or pair.second.module,
                near=near[pair.first.name] or pair.second.module,
                by=pair.by,
                sources=before.get(pair.first.name, ()),
                sqnr_db=noise.sqnr_db,
                cosine=noise.cosine,
                maximum=noise.maximum,
                largest=noise.largest,
                nan=noise.nan,
                lost_db=max(0.0, min(entering, _CLEAN_DB[precision]) - noise.sqnr_db),
                diverges=pair.first.name not in decided and (noise.nan > 0 or noise.sqnr_db < least_db),
                decided=pair.first.name in decided,
            )
        )
    return tuple(made)


def first_diverging(found: Sequence[LayerDifference]) -> int | None:
    """Return the position of the first tensor that diverges."""
    return next((place for place, layer in enumerate(found) if layer.diverges), None)


def culprit(found: Sequence[LayerDifference]) -> int | None:
    """Return the position of the tensor that lost most, where one diverges; of NaN, the first.

    Noise adds up along a network: the tensor at which it becomes too much need not be the one that brought it in.
    """
    first = first_diverging(found)
    if first is None or found[first].nan:
        return first
    return max((p for p in range(len(found)) if not found[p].decided), key=lambda p: (found[p].lost_db, -p))


def least_sqnr(precision: str, tolerance: float | None) -> float:
    """Return the SQNR in dB below which a tensor diverges; ``tolerance`` is the user's, relative."""
    return LEAST_SQNR_DB[precision] if tolerance is None else -20 * math.log10(max(tolerance, 1e-8))


def _sizes(first: Instrument, second: Instrument, pairs: Sequence[Match], fed: tuple[Arrays, Arrays]) -> list[int]:
    left = first.sizes([pair.left for pair in pairs], fed[0])
    right = second.sizes([pair.right for pair in pairs], fed[1])
    return [left[pair.left] + right[pair.right] for pair in pairs]


def _portions(pairs: Sequence[Match], sizes: Sequence[int]) -> Iterator[list[Match]]:
    """Yield as many pairs at a time as fit; at least one."""
    portion: list[Match] = []
    held = 0
    for pair, size in zip(pairs, sizes, strict=True):
        if portion and held + size > MOST_BYTES:
            yield portion
            portion, held = [], 0
        portion.append(pair)
        held += size
    if portion:
        yield portion


def _portion(
    first: Instrument, second: Instrument, portion: Sequence[Match], fed: Iterable[tuple[Arrays, Arrays]]
) -> dict[str, Noise]:
    meters: dict[str, Meter] = {}
    dropped: set[str] = set()
    lefts = list(dict.fromkeys(pair.left for pair in portion))
    rights = list(dict.fromkeys(pair.right for pair in portion))
    with first.tapping(lefts) as left, second.tapping(rights) as right:
        for given, taken in fed:
            here, there = left(given), right(taken)
            for pair in portion:
                name = pair.first.name
                if name in dropped or not _comparable(here[pair.left], there[pair.right]):
                    dropped.add(name)
                    continue
                meters.setdefault(name, Meter()).add(here[pair.left], there[pair.right])
    return {name: meter.read() for name, meter in meters.items() if name not in dropped}


def _comparable(one: Array, other: Array) -> bool:
    """Tell whether two tensors are of one shape and hold real numbers."""
    import numpy as np

    floats = all(np.issubdtype(value.dtype, np.floating) for value in (one, other))
    return floats and one.shape == other.shape
