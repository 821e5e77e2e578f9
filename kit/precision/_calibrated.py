"""What every way to calibrated INT8 begins and ends with: the model looked at, and several results compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.errors import QuantizationError
from kit.precision import _groups, _network, _recipes, _structure, _transformer, _unfit
from kit.precision._groups import Plan
from kit.precision._network import Network
from kit.precision._observing import Part
from kit.precision._recipes import Recipe
from kit.precision._structure import End
from kit.precision.interface import Ask, Kept, Pictures

if TYPE_CHECKING:
    import onnx

_HELD_OUT_EVERY = 5
"""Of a calibration set without pictures held out, each fifth is: methods are compared on what they did not see."""

_MOST_HELD_OUT = 64


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A way to quantise, and how far the answers are then from the model's own: 0 is the same, 1 is lost."""

    name: str
    distance: float


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is known of the model before a node of it is quantised; ranges are ``seen`` on some of the pictures."""

    ask: Ask
    network: Network
    end: End
    recipe: Recipe
    plan: Plan
    seen: Pictures
    held_out: Pictures

    @property
    def pictures(self) -> str:
        """The digest of all pictures."""
        return f"{self.seen.digest} {self.held_out.digest}"


def prepared(ask: Ask) -> Work:
    """Look at the model before any work. Raises ``QuantizationError`` and ``UnsupportedModelError``."""
    if ask.calibration is None or len(ask.calibration) == 0:
        raise QuantizationError("int8 needs real pictures; give --calibration a folder of images or a video")
    network = _network.link(_network.prepare(ask.model, ask.meaning))
    _unfit.require_float(network)
    recipe, end = _recipes.choose(ask.backend, ask.target), _structure.end_of(network)
    if _transformer.is_one(network):
        recipe = recipe.for_products()
    plan = _groups.plan(network, end, recipe.operators)
    _unfit.require_layers(network, plan.groups, end)
    seen, held_out = _split(ask.calibration, ask.held_out)
    return Work(ask=ask, network=network, end=end, recipe=recipe, plan=plan, seen=seen, held_out=held_out)


def tried(work: Work, made: Mapping[str, onnx.ModelProto]) -> tuple[Trial, ...]:
    """Return how far each of ``made`` is from the model itself on the pictures that are held out."""
    from kit.precision import _answers

    where = _answers.border(work.network, work.ask.meaning)
    apart = _answers.distances(work.network.proto, made, where, work.held_out, work.ask.model.signature)
    return tuple(Trial(name=name, distance=distance) for name, distance in apart.items())


def nearest(trials: tuple[Trial, ...]) -> Trial:
    """Return the nearest; of equally near ones the first."""
    return min(trials, key=lambda trial: trial.distance)


def told(trials: tuple[Trial, ...], best: Trial) -> str:
    """Return which was chosen and by how much, for the user."""
    others = sorted((trial for trial in trials if trial is not best), key=lambda trial: trial.distance)
    rest = ", ".join(f"{trial.name} {trial.distance:.4f}" for trial in others)
    said = f"{best.name}: answers differ by {best.distance:.4f} on pictures held out"
    return f"{said} ({rest})" if rest else said


def kept(work: Work) -> tuple[Kept, ...]:
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


def _split(calibration: Pictures, held_out: Pictures | None) -> tuple[Pictures, Pictures]:
    """Return what ranges are taken from and what results are compared on, which are not the same pictures."""
    seen = calibration
    if held_out is None:
        if len(calibration) < _HELD_OUT_EVERY:
            return calibration, calibration
        seen = Part(pictures=calibration, every=_HELD_OUT_EVERY, but=True)
        held_out = Part(pictures=calibration, every=_HELD_OUT_EVERY)
    every = -(-len(held_out) // _MOST_HELD_OUT)
    return seen, held_out if every <= 1 else Part(pictures=held_out, every=every)
