"""Calibrated INT8: Q/DQ in the graph, by a recipe for the backend, with ranges chosen by the model's answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kit.cache import Cache, Key
from kit.precision import _calibrated, _groups, _observing, _recipes, _remainder, _structure, _transformer, _writing
from kit.precision._calibrated import Trial, Work
from kit.precision._observing import Observation
from kit.precision.interface import Ask, Lowered

if TYPE_CHECKING:
    import onnx

    from kit.precision._histogram import Seen

_DYNAMIC = "dynamic"
_DYNAMIC_COST = 1.3
"""Its time by that of ranges known before, measured on ViT-tiny's size with ONNX Runtime: 13.0 ms against 9.8."""

_SILU_FLOOR = -8.0
"""SiLU gives -0.003 there: a filter that is always off, at -500, must not take the steps of the others."""


class Int8:
    """Weights and activations in 8 bits, where the backend gains by it; heads and decoding in float."""

    name = "int8"
    bits = 8
    calibrated = True
    automatic = True
    tools = ("onnx", "onnxruntime", "numpy")

    def apply(self, ask: Ask, folder: Path) -> Lowered:
        """Write the model with Q/DQ; what ``reverted`` names stays in float.

        What was seen in calibration and which method was best are kept in the cache: the same model with other groups
        reverted takes a second. Raises ``QuantizationError`` and ``UnsupportedModelError``.
        """
        work = _calibrated.prepared(ask)
        cache = Cache()
        observation = _observing.observe(ask.model, work.network, work.seen, cache)
        how = (work.recipe, _recipes.halves_the_rest(work.recipe, ask.target))
        key = Key(stage="choose ranges", inputs=(ask.model.digest, work.pictures), parameters=how, tools=self.tools)
        found = cache.find(key, tuple[Trial, ...])
        trials = found or cache.make(key, tuple[Trial, ...], lambda _: _try(work, observation))
        best = _best(trials)
        made = _lowered(work, observation, best.name, ask.reverted)
        return Lowered(
            model=_writing.finish(made, ask.model, folder),
            method=_calibrated.told(trials, best),
            groups=work.plan.groups,
            kept=_calibrated.kept(work),
        )


def _try(work: Work, observation: Observation) -> tuple[Trial, ...]:
    """Quantise with each method and compare the answers."""
    from kit.precision._histogram import METHODS

    names = [*METHODS, *([_DYNAMIC] if _may_be_dynamic(work) else [])]
    return _calibrated.tried(work, {name: _lowered(work, observation, name, frozenset()) for name in names})


def _may_be_dynamic(work: Work) -> bool:
    """Tell whether ranges may be found at each run: by kernels that there are, and for one picture alone.

    DynamicQuantizeLinear has one range for the whole batch, so that strangers' pictures would change an answer.
    """
    alone = all(tensor.shape[:1] == (1,) for tensor in work.ask.model.signature.inputs)
    return alone and bool(work.recipe.products) and _transformer.is_one(work.network)


def _best(trials: tuple[Trial, ...]) -> Trial:
    """Return the nearest; ranges that are found at each run must be nearer by what they cost."""
    ranges = _calibrated.nearest(tuple(trial for trial in trials if trial.name != _DYNAMIC))
    found = next((trial for trial in trials if trial.name == _DYNAMIC), ranges)
    return found if found.distance * _DYNAMIC_COST < ranges.distance else ranges


def _lowered(work: Work, observation: Observation, method: str, reverted: frozenset[str]) -> onnx.ModelProto:
    nodes = _groups.chosen(work.network, work.plan, reverted)
    if method == _DYNAMIC:
        return _transformer.dynamic(work.network, nodes)
    also = _groups.added(work.network, nodes, both=work.recipe.residual == "both") if work.recipe.residual else ()
    seen = observation.read()
    ranges = _ranges(work, seen, method, {*_groups.touched(work.network, nodes), *also})
    made = _writing.quantised(work.network, nodes, ranges, work.recipe, also)
    _writing.tidy(made)
    if _recipes.halves_the_rest(work.recipe, work.ask.target):
        made = _remainder.halved(made, work.network, work.end, seen)
    return made


def _ranges(
    work: Work, observed: Mapping[str, Seen], method: str, tensors: Collection[str]
) -> Mapping[str, tuple[float, float]]:
    from kit.precision._histogram import METHODS, Grid

    grid = Grid(levels=254 if work.recipe.symmetric else 255, symmetric=work.recipe.symmetric)
    seen = {name: found for name, found in observed.items() if name in tensors}
    lost = {name for name in seen if _structure.is_silu(work.network, name)}
    return {n: METHODS[method](found.floored(_SILU_FLOOR) if n in lost else found, grid) for n, found in seen.items()}


MEMBER = Int8()
