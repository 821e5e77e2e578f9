"""Calibrated INT8: Q/DQ in the graph, by a recipe for the backend, with ranges chosen by the model's answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.cache import Cache, Key
from kit.errors import QuantizationError
from kit.precision import _groups, _network, _observing, _recipes, _structure, _transformer, _unfit, _writing
from kit.precision._groups import Plan
from kit.precision._network import Network
from kit.precision._observing import Observation, Part
from kit.precision._recipes import Recipe
from kit.precision._structure import End
from kit.precision.interface import Ask, Kept, Lowered, Pictures

if TYPE_CHECKING:
    import onnx

_HELD_OUT_EVERY = 5
"""Of a calibration set without pictures held out, each fifth is: methods are compared on what they did not see."""

_MOST_HELD_OUT = 64
_DYNAMIC = "dynamic"
_SILU_FLOOR = -8.0
"""SiLU gives -0.003 there: a filter that is always off, at -500, must not take the steps of the others."""


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """A way to choose ranges, and how far the answers are then from the model's own: 0 is the same, 1 is lost."""

    name: str
    distance: float


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is known of the model before a node of it is quantised."""

    ask: Ask
    network: Network
    end: End
    recipe: Recipe
    plan: Plan
    seen: Pictures
    held_out: Pictures


class Int8:
    """Weights and activations in 8 bits, where the backend gains by it; heads and decoding in float."""

    name = "int8"
    bits = 8
    calibrated = True
    tools = ("onnx", "onnxruntime", "numpy")

    def apply(self, ask: Ask, folder: Path) -> Lowered:
        """Write the model with Q/DQ; what ``reverted`` names stays in float.

        What was seen in calibration and which method was best are kept in the cache: the same model with other groups
        reverted takes a second. Raises ``QuantizationError`` and ``UnsupportedModelError``.
        """
        work = _prepared(ask)
        cache = Cache()
        observation = _observing.observe(ask.model, work.network, work.seen, cache)
        key = Key(
            stage="choose ranges", inputs=(ask.model.digest, _pictures_digest(work)), parameters=work.recipe,
            tools=self.tools,
        )  # fmt: skip
        found = cache.find(key, tuple[_Trial, ...])
        trials = found or cache.make(key, tuple[_Trial, ...], lambda _: _try(work, observation))
        best = min(trials, key=lambda trial: trial.distance)
        made = _lowered(work, observation, best.name, ask.reverted)
        return Lowered(
            model=_writing.finish(made, ask.model, folder),
            method=_told(trials, best),
            groups=work.plan.groups,
            kept=_kept(work),
        )


def _pictures_digest(work: _Work) -> str:
    """Return the digest of the pictures that ranges and the choice among methods depend on."""
    return f"{work.seen.digest} {work.held_out.digest}"


def _prepared(ask: Ask) -> _Work:
    """Look at the model before any work. Raises ``QuantizationError`` and ``UnsupportedModelError``."""
    if ask.calibration is None or len(ask.calibration) == 0:
        raise QuantizationError("int8 needs real pictures; give --calibration a folder of images or a video")
    proto = _network.prepare(ask.model, ask.meaning)
    network = _network.link(proto)
    _unfit.require_float(network)
    recipe, end = _recipes.choose(ask.backend, ask.target), _structure.end_of(network)
    plan = _groups.plan(network, end, recipe.operators)
    _unfit.require_layers(network, plan.groups, end)
    seen, held_out = _pictures(ask.calibration, ask.held_out)
    return _Work(ask=ask, network=network, end=end, recipe=recipe, plan=plan, seen=seen, held_out=held_out)


def _pictures(calibration: Pictures, held_out: Pictures | None) -> tuple[Pictures, Pictures]:
    """Return what ranges are taken from and what methods are compared on, which are not the same pictures."""
    seen = calibration
    if held_out is None:
        if len(calibration) < _HELD_OUT_EVERY:
            return calibration, calibration
        seen = Part(pictures=calibration, every=_HELD_OUT_EVERY, but=True)
        held_out = Part(pictures=calibration, every=_HELD_OUT_EVERY)
    every = -(-len(held_out) // _MOST_HELD_OUT)
    return seen, held_out if every <= 1 else Part(pictures=held_out, every=every)


def _try(work: _Work, observation: Observation) -> tuple[_Trial, ...]:
    """Quantise with each method and compare the answers on pictures that were held out."""
    from kit.precision import _answers, _histogram

    methods = list(_histogram.METHODS)
    others = {name: _lowered(work, observation, name, frozenset()) for name in methods}
    if _transformer.is_one(work.network, work.recipe):
        others[_DYNAMIC] = _lowered(work, observation, _DYNAMIC, frozenset())
    where = _answers.border(work.network, work.ask.meaning)
    apart = _answers.distances(work.network.proto, others, where, work.held_out, work.ask.model.signature)
    return tuple(_Trial(name=name, distance=distance) for name, distance in apart.items())


def _lowered(work: _Work, observation: Observation, method: str, reverted: frozenset[str]) -> onnx.ModelProto:
    nodes = _groups.chosen(work.network, work.plan, reverted)
    if method == _DYNAMIC:
        return _transformer.dynamic(work.network, nodes)
    also = _groups.skips(work.network, nodes) if work.recipe.residual else ()
    ranges = _ranges(work, observation, method, {*_groups.touched(work.network, nodes), *also})
    made = _writing.quantised(work.network, nodes, ranges, work.recipe, also)
    _writing.tidy(made)
    return made


def _ranges(
    work: _Work, observation: Observation, method: str, tensors: Collection[str]
) -> Mapping[str, tuple[float, float]]:
    from kit.precision._histogram import METHODS, Grid

    grid = Grid(levels=254 if work.recipe.symmetric else 255, symmetric=work.recipe.symmetric)
    seen = {name: found for name, found in observation.read().items() if name in tensors}
    lost = {name for name in seen if _structure.is_silu(work.network, name)}
    return {n: METHODS[method](found.floored(_SILU_FLOOR) if n in lost else found, grid) for n, found in seen.items()}


def _told(trials: tuple[_Trial, ...], best: _Trial) -> str:
    """Return the method and by how much it is the best."""
    others = sorted((trial for trial in trials if trial is not best), key=lambda trial: trial.distance)
    rest = ", ".join(f"{trial.name} {trial.distance:.4f}" for trial in others)
    return f"{best.name}: answers differ by {best.distance:.4f} on pictures held out ({rest})" if rest else best.name


def _kept(work: _Work) -> tuple[Kept, ...]:
    """Return what stays in float, and why."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for node in work.network.nodes:
        if node.name in work.end.predicting:
            by_reason["makes the raw predictions"].append(node.name)
        elif node.name in work.end.decoding and node.op_type != "Constant":
            by_reason["decodes the predictions"].append(node.name)
    for group in work.plan.groups:
        if group.name in work.ask.reverted:
            by_reason["reverted"] += group.nodes
    return tuple(Kept(reason=reason, nodes=tuple(nodes)) for reason, nodes in by_reason.items())


MEMBER = Int8()
