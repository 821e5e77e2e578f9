"""Recipes to build engines by, made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kit import targets
from kit.engines import recipe
from kit.engines.recipe import Recipe
from kit.targets.values import Target
from kit.types import DataType, Signature, Tensor

VERSIONS = ("8.6.1", "10.3.0", "10.11.0", "10.16.0", "11.1.0")
"""Releases whose options the tests have: ``trtexec-options.toml``."""

DETECTOR = Signature(
    inputs=(Tensor(name="images", dtype=DataType.UINT8, shape=(-1, 320, 320, 3)),),
    outputs=(
        Tensor(name="num", dtype=DataType.INT32, shape=(-1, 1)),
        Tensor(name="boxes", dtype=DataType.FP32, shape=(-1, 20, 4)),
        Tensor(name="scores", dtype=DataType.FP32, shape=(-1, 20)),
        Tensor(name="classes", dtype=DataType.INT32, shape=(-1, 20)),
    ),
)


def target(name: str = "t4", tensorrt: str | None = None) -> Target:
    """A target of the kit's, with another TensorRT where one is given."""
    known = targets.load(name)
    return known if tensorrt is None else replace(known, stack=replace(known.stack, tensorrt_version=tensorrt))


def make(tensorrt: str = "11.1.0", signature: Signature = DETECTOR, batch: int = 8, **more: Any) -> Recipe:
    """A recipe for that release; ``more`` are its other fields."""
    asked = more.pop("asked", {})
    chosen = more.pop("target", None) or target(more.pop("of", "t4"), tensorrt)
    return Recipe(
        model="digits", version=1, target=chosen, onnx_digest="0" * 64, plan=f"model.{chosen.name}.plan",
        signature=signature, max_batch_size=batch, shapes=recipe.shapes(signature, batch, batch, asked),
        workspace_mib=recipe.workspace_mib(chosen, None), **more,
    )  # fmt: skip
