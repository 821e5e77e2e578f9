"""Shapes, memory and devices of an engine."""

from __future__ import annotations

import pytest
import recipes
from hypothesis import given
from hypothesis import strategies as st

from kit import targets
from kit.engines import recipe
from kit.engines.recipe import Span
from kit.errors import UnsupportedModelError, UsageError
from kit.types import DataType, Signature, Tensor

SIZES = st.lists(st.integers(1, 2000), min_size=1, max_size=4)


def signature(*shape: int) -> Signature:
    tensor = Tensor(name="images", dtype=DataType.UINT8, shape=shape)
    return Signature(inputs=(tensor,), outputs=(tensor,))


@given(name=st.text(min_size=1).filter(lambda t: "=" not in t and "\n" not in t), least=SIZES, more=st.integers(0, 9))
def test_a_shape_is_read_as_it_is_written(name: str, least: list[int], more: int) -> None:
    most = [size + more for size in least]
    low, high = ("x".join(map(str, sizes)) for sizes in (least, most))
    assert recipe.parse_spans([f"{name}={low}..{high}"]) == {name: Span(least=tuple(least), most=tuple(most))}
    assert recipe.parse_spans([f"{name}={low}"]) == {name: Span(least=tuple(least), most=tuple(least))}


@pytest.mark.parametrize(
    "text", ["", "images", "images=", "=3x3", "images=0x3", "images=3x", "images=3..", "images=3 x3"]
)
def test_what_is_no_shape_is_refused_with_one_that_is(text: str) -> None:
    with pytest.raises(UsageError, match="as images=640x640x3"):
        recipe.parse_spans([text])


def test_an_input_is_said_once() -> None:
    with pytest.raises(UsageError, match="given twice; give a range, as images=640x640x3"):
        recipe.parse_spans(["images=320x320x3", "images=640x640x3"])


@pytest.mark.parametrize(
    ("size", "usual", "least", "most"),
    [(8, 8, (1, 4, 6, 3), (8, 4, 6, 3)), (8, 4, (1, 4, 6, 3), (8, 4, 6, 3)), (1, 1, (1, 4, 6, 3), (1, 4, 6, 3))],
)
def test_the_batch_is_a_range_and_the_rest_is_fixed(
    size: int, usual: int, least: tuple[int, ...], most: tuple[int, ...]
) -> None:
    (made,) = recipe.shapes(signature(-1, 4, 6, 3), size, usual, {})
    assert (made.least, made.usual, made.most) == (least, (usual, *most[1:]), most)
    assert made.fixed == (size == 1)


def test_without_batches_the_shape_is_the_models() -> None:
    (made,) = recipe.shapes(signature(3, 4), 0, 0, {})
    assert made.least == made.usual == made.most == (3, 4)
    built = recipes.make(signature=signature(3, 4), batch=0)
    assert built.batches == (1,)
    assert built.at(1) == {"images": (3, 4)}


def test_an_open_size_must_be_said() -> None:
    with pytest.raises(
        UsageError, match=r"give --shape images=640x640x3, or a range as --shape images=320x320x3\.\.640x"
    ):
        recipe.shapes(signature(-1, -1, -1, 3), 8, 8, {})
    span = Span(least=(32, 32, 3), most=(64, 96, 3))
    (made,) = recipe.shapes(signature(-1, -1, -1, 3), 8, 8, {"images": span})
    assert (made.least, made.usual, made.most) == ((1, 32, 32, 3), (8, 64, 96, 3), (8, 64, 96, 3))


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (Span(least=(4, 6), most=(4, 6)), "the model takes 4x6x3, without the batch"),
        (Span(least=(4, 6, 4), most=(4, 6, 4)), "the model takes 4x6x3"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(span: Span, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        recipe.shapes(signature(-1, 4, 6, 3), 8, 8, {"images": span})


def test_a_range_begins_with_the_smaller() -> None:
    with pytest.raises(UsageError, match="the smaller shape comes first"):
        recipe.shapes(signature(-1, -1, 6, 3), 8, 8, {"images": Span(least=(8, 6, 3), most=(4, 6, 3))})


@pytest.mark.parametrize(("name", "mib"), [("t4", 2048), ("orin-nx-16gb", 1024), ("orin-nano-8gb", 512)])
def test_the_workspace_is_a_part_of_the_memory(name: str, mib: int) -> None:
    assert recipe.workspace_mib(targets.load(name), None) == mib
    assert recipe.workspace_mib(targets.load(name), 100) == 100


class TestDla:
    def of(self, name: str, tensorrt: str = "10.11.0", **more: object) -> recipe.Recipe:
        given_fields = {"batch": 1, "dla_core": 0, "precisions": frozenset({"fp16"}), **more}
        return recipes.make(tensorrt, of=name, **given_fields)

    def test_it_is_built_where_there_is_one(self) -> None:
        recipe.require_possible(self.of("orin-nx-16gb"))

    def test_a_device_without_one(self) -> None:
        with pytest.raises(UsageError, match="orin-nano-8gb has no DLA; leave it out"):
            recipe.require_possible(self.of("orin-nano-8gb"))

    def test_a_core_that_is_not_there(self) -> None:
        with pytest.raises(UsageError, match="orin-nx-16gb has 2 DLA cores; leave it out or give 0"):
            recipe.require_possible(self.of("orin-nx-16gb", dla_core=2))

    def test_a_release_without(self) -> None:
        with pytest.raises(UsageError, match=r"TensorRT 11\.1\.0 builds nothing for a DLA; 10\.x and 11\.4\.1 do"):
            recipe.require_possible(self.of("orin-nx-16gb", "11.1.0"))

    def test_a_batch_that_varies(self) -> None:
        with pytest.raises(UnsupportedModelError, match="generate the model with --max-batch-size 1"):
            recipe.require_possible(self.of("orin-nx-16gb", batch=4))

    def test_full_precision(self) -> None:
        with pytest.raises(UnsupportedModelError, match="generate the model with --precision fp16"):
            recipe.require_possible(self.of("orin-nx-16gb", precisions=frozenset()))


def test_strong_typing_is_not_in_8_6() -> None:
    with pytest.raises(UsageError, match=r"8\.6\.1 has no strong typing, 10\.0 has"):
        recipe.require_possible(recipes.make("8.6.1", strongly_typed=True))
