"""The comparison finds what a stage broke, names stage and output, and is not fooled by what only looks different."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import kit.graph
from kit import compare, contract, inputs
from kit.errors import ParityError, UnsupportedModelError
from kit.types import Graphs, Model, Spec

SPEC = Spec(source="m.onnx", name="m", targets=("x86-cpu",))


def described(proto: onnx.ModelProto, path: Path) -> Model:
    path.parent.mkdir(exist_ok=True)
    return kit.graph.describe(path, kit.graph.write(proto, path))


Check = Callable[..., Any]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Return ``check(original, network, served)``; what is not given is what the stages make of the original."""

    def run(
        original: onnx.ModelProto,
        network: onnx.ModelProto | None = None,
        served: Callable[[onnx.ModelProto], None] | None = None,
        reference: Any = None,
        largest: int = 4,
    ) -> Any:
        first = described(original, tmp_path / "a" / "model.onnx")
        second = described(network or original, tmp_path / "b" / "model.onnx")
        meaning = contract.interpret(SPEC, second)
        (tmp_path / "c").mkdir()
        third = contract.fuse(second, meaning, tmp_path / "c")
        if served is not None:
            proto = onnx.load(str(third.path))
            served(proto)
            third = described(proto, tmp_path / "d" / "model.onnx")
        graphs = Graphs(original=first, reference=reference, network=second, meaning=meaning, served=third)
        samples = inputs.Recipe(signature=third.signature, count=largest).make()
        return compare.check_stages(graphs, samples, inputs.batch_sizes(first.signature, largest))

    return run


def two_outputs(first: float, second: float) -> onnx.ModelProto:
    return models.build(
        [models.node("Mul", "x a", "y"), models.node("Mul", "x b", "z")],
        [("x", models.FLOAT, ("n", 4))],
        [("y", models.FLOAT, ("n", 4)), ("z", models.FLOAT, ("n", 4))],
        {"a": np.float32(first), "b": np.float32(second)},
    )


class TestTheGuiltyStage:
    def test_nobody(self, check: Check) -> None:
        found = check(models.detector(), reference=None)
        assert [p.stage for p in found] == ["simplify", "contract"]
        assert {d.batch for p in found for d in p.differences} == {1, 2, 4}
        served, inner = {"num", "boxes", "scores", "classes"}, {"detect/corners", "detect/best"}
        assert {d.output for d in found[1].differences} == {"network/output0"} | inner | served

    def test_simplify(self, check: Check) -> None:
        with pytest.raises(ParityError, match=r"^simplify: output y differs at batch 1: by 0\.\d+"):
            check(two_outputs(1, 1), two_outputs(1.5, 1.5))

    def test_simplify_and_the_first_output_that_differs(self, check: Check) -> None:
        with pytest.raises(ParityError, match=r"^simplify: output z differs"):
            check(two_outputs(1, 1), two_outputs(1, 1.001))

    def test_export(self, check: Check) -> None:
        def reference(feeds: Any) -> Any:
            return {"y": feeds["x"] * np.float32(3)}

        assert check(models.scale(3), reference=reference)[0].stage == "export"

    def test_export_that_differs(self, check: Check) -> None:
        with pytest.raises(ParityError, match=r"^export: output y differs at batch 1"):
            check(models.scale(2), reference=lambda feeds: {"y": feeds["x"] * np.float32(3)})

    def test_export_that_lost_an_output(self, check: Check) -> None:
        with pytest.raises(
            ParityError, match=r"^export: output more should have shape \(1, 4\), the result gives nothing"
        ):
            check(models.scale(2), reference=lambda feeds: {"y": feeds["x"] * np.float32(2), "more": feeds["x"]})

    @pytest.mark.parametrize(
        ("tensor", "value", "output"),
        [
            ("detect/iou", 0.999, "boxes"),
            ("detect/least", 0.9, "num"),
            ("detect/half_factor", 0.6, "detect/corners"),
            ("frames/factor", 1 / 250, "network/output0"),
        ],
    )
    def test_contract(self, check: Check, tensor: str, value: float, output: str) -> None:
        def broken(proto: onnx.ModelProto) -> None:
            for node in proto.graph.node:
                if list(node.output) == [tensor]:
                    del node.attribute[:]
                    made = onnx.numpy_helper.from_array(np.float32(value))
                    node.attribute.append(onnx.helper.make_attribute("value", made))
                    return
            raise AssertionError(f"no {tensor}")

        with pytest.raises(ParityError, match=rf"^contract: output ({output}|num|boxes|scores) "):
            check(models.detector(anchors=200), served=broken)

    def test_contract_that_mixes_up_the_colours(self, check: Check) -> None:
        def broken(proto: onnx.ModelProto) -> None:
            transpose = next(n for n in proto.graph.node if n.op_type == "Transpose")
            transpose.output[0] = "frames/straight"
            order = onnx.numpy_helper.from_array(np.array([2, 1, 0]), "reversed")
            proto.graph.initializer.append(order)
            gather = onnx.helper.make_node("Gather", ["frames/straight", "reversed"], ["frames/planes"], axis=1)
            proto.graph.node.insert(list(proto.graph.node).index(transpose) + 1, gather)

        with pytest.raises(ParityError, match=r"^contract: output network/scores differs"):
            check(models.classifier(), served=broken)


class TestTheBatch:
    def test_that_mixes_is_refused(self, check: Check) -> None:
        with pytest.raises(ParityError, match=r"output y of one input changes by .* when 2 are in the batch"):
            check(models.mixes_the_batch())

    def test_of_one_cannot_mix(self, check: Check) -> None:
        assert check(models.mixes_the_batch(), largest=1)

    def test_that_leaks_only_when_it_is_large_is_refused(self, check: Check) -> None:
        """A maximum over the batch, in the fourth frame's favour only."""
        proto = models.build(
            [
                models.node("Shape", "x", "s"),
                models.node("Gather", "s zero", "count"),
                models.node("Cast", "count", "wide", to=models.FLOAT),
                models.node("Sub", "wide three", "over"),
                models.node("Relu", "over", "more"),
                models.node("Add", "x more", "y"),
            ],
            [("x", models.FLOAT, ("n", 4))],
            [("y", models.FLOAT, ("n", 4))],
            {"zero": np.array(0, np.int64), "three": np.float32(3)},
        )
        with pytest.raises(ParityError, match="when 4 are in the batch"):
            check(proto)

    def test_whose_outputs_count_something_else_is_refused(self, check: Check) -> None:
        proto = models.build(
            [models.node("NonZero", "x", "n"), models.node("Transpose", "n", "y", perm=[1, 0])],
            [("x", models.FLOAT, ("n", 3))],
            [("y", onnx.TensorProto.INT64, ("k", 2))],
        )
        with pytest.raises(ParityError, match=r"output y has 3 rows where 1 inputs.*--max-batch-size 0"):
            check(proto)

    def test_that_a_stage_changes_is_named(self) -> None:
        samples = inputs.Samples(description="", feeds={})
        with pytest.raises(ParityError, match=r"^simplify: output y should have shape \(2, 3\), .* shape \(1, 3\)"):
            compare._check(
                "simplify", lambda size: {"y": np.zeros((size, 3))}, lambda _: {"y": np.zeros((1, 3))}, samples, (1, 2)
            )


class TestNaN:
    def test_that_a_stage_made_is_found(self) -> None:
        one = compare.difference("y", np.ones((1, 3), np.float32), np.array([[1, np.nan, 1]], np.float32))
        assert one.nan == 1
        assert compare.exceeds(one, 1e9)

    def test_that_the_model_makes_is_the_models_fault(self, check: Check) -> None:
        proto = models.build(
            [models.node("Sqrt", "m", "r"), models.node("Add", "x r", "y")],
            [("x", models.FLOAT, ("n", 2))],
            [("y", models.FLOAT, ("n", 2))],
            {"m": np.array([-1, 1], np.float32)},
        )
        with pytest.raises(ParityError, match="y is NaN before this stage already: the model itself is at fault"):
            check(proto)


class TestDifference:
    @given(arrays.arrays(np.float32, (2, 3), elements=st.floats(-1e6, 1e6, width=32)))
    def test_of_equal_ones_is_nothing(self, value: Any) -> None:
        one = compare.difference("y", value, value.copy())
        assert (one.maximum, one.relative, one.nan) == (0, 0, 0)
        assert not compare.exceeds(one, 0)

    @given(st.integers(-(2**62), 2**62), st.sampled_from([-1, 1]))
    def test_of_integers_is_exact(self, value: int, apart: int) -> None:
        """However large they are: 2 ** 53 + 1 is no float64."""
        one = compare.difference("y", np.array([[value]]), np.array([[value + apart]]))
        assert one.maximum >= 1
        assert compare.exceeds(one, compare.TOLERANCE)

    @pytest.mark.parametrize(("flipped", "found"), [(1, False), (30, True)])
    def test_of_a_map_of_classes_is_the_share_of_its_pixels(self, flipped: int, found: bool) -> None:
        """One pixel in 20000 may be a tie that rounding decides; thirty are a fault."""
        wanted = np.zeros((2, 100, 100), np.uint8)
        got = wanted.copy()
        got.flat[:flipped] = 7
        one = compare.difference("classes", wanted, got)
        assert (one.maximum, one.relative) == (7, flipped / wanted.size)
        assert compare.exceeds(one, compare.TOLERANCE) is found

    @given(st.integers(0, 2**64 - 2))
    def test_of_unsigned_integers_is_exact(self, value: int) -> None:
        one = compare.difference("y", np.array([[value]], np.uint64), np.array([[value + 1]], np.uint64))
        assert compare.exceeds(one, compare.TOLERANCE)

    @pytest.mark.parametrize(
        ("expected", "got"),
        [
            (np.array([[True]]), np.array([[False]])),
            (np.array([["a"]], object), np.array([["b"]], object)),
            (np.array([["a"]], object), np.array([[""]], object)),
        ],
    )
    def test_of_words_and_booleans_is_all_or_nothing(self, expected: Any, got: Any) -> None:
        assert compare.exceeds(compare.difference("y", expected, got), compare.TOLERANCE)
        assert not compare.exceeds(compare.difference("y", expected, expected), compare.TOLERANCE)

    @pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,), (), (1,)])
    @pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, object])
    def test_of_any_shape(self, shape: tuple[int, ...], dtype: Any) -> None:
        value = np.zeros(shape, dtype)
        assert not compare.exceeds(compare.difference("y", value, value), compare.TOLERANCE)

    def test_of_infinities(self) -> None:
        inf = np.float32(np.inf)
        same = np.array([[inf, -inf, 1]], np.float32)
        assert not compare.exceeds(compare.difference("y", same, same), compare.TOLERANCE)
        for other in ([inf, inf, 1], [5, -inf, 1], [inf, -inf, 1.1], [inf, -inf, np.nan]):
            assert compare.exceeds(compare.difference("y", same, np.array([other], np.float32)), compare.TOLERANCE)
        assert compare.exceeds(
            compare.difference("y", np.ones((1, 3), np.float32), np.array([[1, inf, 1]], np.float32)), compare.TOLERANCE
        )

    def test_of_a_small_frame_beside_a_large_one_is_seen_by_its_direction(self) -> None:
        expected = np.array([[1e6, 0], [1e-3, 0]])
        got = np.array([[1e6, 0], [0, 1e-3]])
        one = compare.difference("y", expected, got)
        assert one.relative < compare.TOLERANCE
        assert compare.exceeds(one, compare.TOLERANCE)

    @given(
        arrays.arrays(np.float32, (2, 4), elements=st.floats(-1e3, 1e3, width=32)),
        st.floats(2e-4, 1),
        st.integers(0, 7),
    )
    def test_of_more_than_the_tolerance_is_always_found(self, value: Any, share: float, place: int) -> None:
        got = value.astype(np.float64)
        got.flat[place] += share * max(1.0, float(np.abs(value).max()))
        assert compare.exceeds(compare.difference("y", value.astype(np.float64), got), compare.TOLERANCE)


def test_a_runner_says_what_it_was_given_when_it_fails(tmp_path: Path) -> None:
    model = described(models.scale(), tmp_path / "m" / "model.onnx")
    with pytest.raises(UnsupportedModelError, match=r"does not run with x \[2, 7\]"):
        compare.runner(model.path)({"x": np.zeros((2, 7), np.float32)})


def test_samples_of_a_model_without_batches_are_given_whole() -> None:
    samples = inputs.Samples(description="", feeds={"x": np.zeros((4, 2)), "s": np.float32(1)}, batched=False)
    assert {n: np.shape(v) for n, v in samples.batch(1).items()} == {"x": (4, 2), "s": ()}
    assert replace(samples, batched=True, feeds={"x": np.zeros((4, 2))}).batch(1)["x"].shape == (1, 2)
