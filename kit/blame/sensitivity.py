"""What each group of a lowered model does to it, for the search for those to leave as they were: ``kit.fallback``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import kit.graph
from kit import flops
from kit.blame import inner
from kit.blame.layers import Network, ancestors
from kit.blame.noise import CEILING_DB
from kit.blame.taps import OnnxTaps
from kit.blame.values import LayerDifference
from kit.fallback import Hints
from kit.precision.interface import Lowered, Pictures
from kit.types import Interpretation, Model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "dict[str, npt.NDArray[np.generic]]"

_NEGLIGIBLE_DB = 60.0
"""Noise that far below what enters a layer is not told apart from rounding."""

_ENOUGH = 8
"""Pictures for the noise of each group: it is of all values of a tensor, and only the order of the groups counts."""

_SAVED = 0.5
"""Of a layer's time, by 8 bits instead of float: about half on CPUs with VNNI, and on GPUs beside FP16."""

_FREE = 320
"""A picture's size where the model takes any."""

_ROOM = 256 << 20
"""Bytes of pictures and answers that are kept for the next comparison."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Compares lowered forms of ``model`` with it on a few pictures, which it is shown once for all of them."""

    model: Model
    meaning: Interpretation
    pictures: Pictures

    def distance(self, other: Model) -> float:
        """Return how far another form's answers are: 0 is the same, 1 is lost. The mean over the pictures."""
        from kit import nearness

        first, second = self._own, OnnxTaps(other.path)
        outputs = [tensor.name for tensor in self.model.signature.outputs]
        where = nearness.border([name for name in first.made if name in second.made], outputs, self.meaning)
        with second.tapping(where.names) as there:
            apart = [nearness.between(own, there(feeds), where) for feeds, own in self._answered(where.names)]
        known = [value for value in apart if value is not None]
        return sum(known) / len(known) if known else 0.0

    @cached_property
    def _own(self) -> OnnxTaps:
        return OnnxTaps(self.model.path)

    @cached_property
    def _kept(self) -> dict[tuple[str, ...], list[tuple[Arrays, Arrays]]]:
        """The pictures with the model's own answers, by the names of these."""
        return {}

    def _answered(self, names: tuple[str, ...]) -> Iterator[tuple[Arrays, Arrays]]:
        """Yield each picture with the model's own answers: kept where they are small, made anew where they are not."""
        if (known := self._kept.get(names)) is not None:
            yield from known
            return
        kept: list[tuple[Arrays, Arrays]] = []
        size = 0
        with self._own.tapping(names) as here:
            for feeds in self.pictures.feeds(self.model.signature):
                kept.append((feeds, here(feeds)))
                yield kept[-1]
                size += sum(value.nbytes for part in kept[-1] for value in part.values())
                if size > _ROOM:
                    kept.clear()
        if size <= _ROOM:
            self._kept[names] = kept

    def hints(self, lowered: Lowered) -> Hints:
        """Return each group's own noise, and which groups read what another gives.

        The SQNR in dB at the noisiest layer of the group, with what entered it as noise taken out, as if the two were
        independent: ``10 ** (-own / 10) = 10 ** (-out / 10) - 10 ** (-in / 10)``. Groups of which no tensor is found in
        both models are left out.
        """
        first, second = self._own, OnnxTaps(lowered.model.path)
        pairs = inner.matches(first, second, {name: name for name in first.network.inputs})
        noises = inner.measure(first, second, pairs, _Both(self), lambda *_: None)
        found = inner.differences(first.network, pairs, noises, "int8", 0.0)
        nodes = {pair.first.name: frozenset(pair.first.nodes) | frozenset(pair.second.nodes) for pair in pairs}
        groups = {name: _group(nodes[name], lowered) for name in nodes}
        return Hints(
            noise=_noise(found, groups), readers=_readers(first.network, groups), costs=self._costs(lowered)
        )  # fmt: skip

    def _costs(self, lowered: Lowered) -> dict[str, float]:
        """Return what each group costs more in float, by its multiplications: the same whatever the machine does."""
        shapes = {
            t.name: tuple(size if size > 0 else _FREE if axis else 1 for axis, size in enumerate(t.shape))
            for t in lowered.model.signature.inputs
        }
        macs = flops.by_node(kit.graph.read(lowered.model.path), shapes)
        total = sum(macs.values()) or 1
        return {group.name: _SAVED * sum(macs.get(name, 0) for name in group.nodes) / total for group in lowered.groups}


def _group(nodes: frozenset[str], lowered: Lowered) -> str | None:
    return next((group.name for group in lowered.groups if not nodes.isdisjoint(group.nodes)), None)


def _noise(found: tuple[LayerDifference, ...], groups: Mapping[str, str | None]) -> dict[str, float]:
    """Return the own SQNR of each group's noisiest layer."""
    out = {one.name: one.sqnr_db for one in found}
    worst: dict[str, float] = {}
    for one in found:
        group = groups[one.name]
        if group is not None:
            own = _own(one.sqnr_db, [out[name] for name in one.sources])
            worst[group] = min(worst.get(group, own), own)
    return worst


def _readers(network: Network, groups: Mapping[str, str | None]) -> dict[str, tuple[str, ...]]:
    """Return the groups that read each group's tensors, what is in no group looked through."""
    inside = [name for name, group in groups.items() if group is not None]
    found: dict[str, dict[str, None]] = {}
    for name, before in ancestors(network, inside).items():
        reader = groups[name]
        for source in before:
            giver = groups[source]
            if giver is not None and reader is not None and giver != reader:
                found.setdefault(giver, {})[reader] = None
    return {giver: tuple(readers) for giver, readers in found.items()}


@dataclass(frozen=True)
class _Both:
    """The same few feeds for both, read anew each time that they are gone through."""

    probe: Probe

    def __iter__(self) -> Iterator[tuple[Arrays, Arrays]]:
        asked = islice(self.probe.pictures.feeds(self.probe.model.signature), _ENOUGH)
        return ((feeds, feeds) for feeds in asked)


def _own(out_db: float, entering_db: list[float]) -> float:
    """Return the SQNR that a layer would have if what it reads had no noise."""
    entered = 10 ** (-min(entering_db, default=CEILING_DB) / 10)
    added = 10 ** (-out_db / 10) - entered
    floor = entered * 10 ** (-_NEGLIGIBLE_DB / 10) or 10 ** (-CEILING_DB / 10)
    return -10 * math.log10(max(added, floor))
