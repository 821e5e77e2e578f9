"""Real INT8 of a network with a block that it breaks: what is measured of each group, and the search that mends it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import nets
import numpy as np
import onnx
import pictures
import pytest
from onnx import numpy_helper
from verdicts import Drop, Verdict

from kit import fallback, precision
from kit.blame.sensitivity import Probe
from kit.cache import Cache
from kit.precision.interface import Lowered
from kit.progress import Silent
from kit.stages import Stages
from kit.types import Model

BLOCKS = 2
WIDTH = 12
BROKEN = {"blocks.1.first", "blocks.1.second"}
BUDGET = 0.15


def network() -> onnx.ModelProto:
    """Residual blocks of two layers; in one of them a channel is far larger than the others, and taken away again."""
    net = nets.Net(seed=3)
    x = net.silu(net.conv("x", 3, WIDTH, kernel=3, name="stem"))
    for index in range(BLOCKS):
        inner = net.silu(net.conv(x, WIDTH, WIDTH, name=f"blocks.{index}.first"))
        x = net.op("Add", x, net.silu(net.conv(inner, WIDTH, WIDTH, name=f"blocks.{index}.second")))
    pooled = net.op("GlobalAveragePool", net.silu(net.conv(x, WIDTH, WIDTH, name="neck")))
    net.op("Flatten", net.conv(pooled, WIDTH, 7, name="head"), out="y")
    net.weights["blocks.1.first.weight"][0] = 0
    net.weights["blocks.1.first.bias"][0] = 3000
    net.weights["blocks.1.second.weight"][:, 0] = 0.01
    net.weights["blocks.1.second.bias"] -= np.float32(30)
    return net.done({"y": ["batch", 7]})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return pictures.saved(network(), tmp_path_factory.mktemp("outliers"))


@pytest.fixture(scope="module")
def probe(model: Model) -> Probe:
    chance = np.random.default_rng(1)
    some = pictures.Values([chance.random((1, 3, 16, 16), np.float32) for _ in range(6)])
    return Probe(model=model, meaning=pictures.NATIVE, pictures=some)


@dataclass
class Maker:
    """Lowers the model for real, each set of reverted groups once."""

    model: Model
    folder: Path
    made: dict[frozenset[str], Lowered] = dataclasses.field(default_factory=dict)

    def __call__(self, reverted: frozenset[str]) -> Lowered:
        if reverted not in self.made:
            chance = np.random.default_rng(2)
            seen = pictures.Values([chance.random((1, 3, 16, 16), np.float32) for _ in range(5)])
            asked = pictures.ask(self.model, calibration=seen, reverted=reverted)
            folder = self.folder / str(len(self.made))
            folder.mkdir()
            self.made[reverted] = precision.get("int8").apply(asked, folder)
        return self.made[reverted]


@pytest.fixture
def make(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    return Maker(model, tmp_path)


def test_the_outliers_keep_the_answers_in_fp32(model: Model) -> None:
    proto = onnx.load(str(model.path))
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert weights["blocks.1.first.bias"][0] == 3000
    assert np.abs(weights["blocks.1.first.bias"][1:]).max() < 1


def test_a_model_is_no_distance_from_itself(model: Model, probe: Probe) -> None:
    assert probe.distance(model) == 0.0


def test_groups_know_who_reads_them(make: Maker, probe: Probe) -> None:
    hints = probe.hints(make(frozenset()))
    assert hints.readers["blocks.1.first"] == ("blocks.1.second",)
    assert set(hints.readers["blocks.0.second"]) == {"blocks.1.first", "blocks.1.second"}
    assert set(hints.noise) == {group.name for group in make(frozenset()).groups}
    assert set(hints.costs) == set(hints.noise)
    assert hints.costs["blocks.0.first"] == pytest.approx(hints.costs["blocks.1.second"], rel=0.2)
    assert 0.3 < sum(hints.costs.values()) <= 0.5  # the head multiplies too, and stays in float
    noisiest = sorted(hints.noise, key=lambda name: hints.noise[name])
    assert set(noisiest[:3]) & BROKEN


def test_the_search_finds_the_block_that_int8_breaks(make: Maker, probe: Probe, tmp_path: Path) -> None:
    def judge(model: Model) -> Verdict:
        drop = probe.distance(model)
        return Verdict(Drop(drop), held=drop <= BUDGET)

    told: list[str] = []
    naive = probe.distance(make(frozenset()).model)
    found = fallback.search(
        make, judge, stages=Stages(cache=Cache(root=tmp_path / "stages"), progress=Silent()), identity="six",
        distance=probe.distance, hints=probe.hints, tell=told.append,
        limits=fallback.Limits(trials=4),
    )  # fmt: skip
    assert naive > 2 * BUDGET
    assert found.held, told
    assert {group.name for group in found.reverted} == BROKEN
    assert found.modules == ("blocks.1",)
    assert probe.distance(found.lowered.model) <= BUDGET
    quantised = [n for n in onnx.load(str(found.lowered.model.path)).graph.node if n.op_type == "QuantizeLinear"]
    assert quantised
