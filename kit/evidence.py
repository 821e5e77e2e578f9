"""What a graph shows of the meaning of its outputs: the operators behind them, and what they give for one random input.

Names and shapes alone mislead: YOLOv5 and YOLOX have the same shape, and so have many networks that are no detectors.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from kit import inputs
from kit.errors import UnsupportedModelError
from kit.types import Model, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

Array: TypeAlias = "npt.NDArray[np.generic]"

_FORM_ONLY = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of an output along one dimension: its size, and the operator that made its numbers."""

    size: int
    maker: str


class Evidence:
    """Looks at a model when asked: the file is read once, the network is run once, and only if that decides."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.outputs = model.signature.outputs

    @property
    def metadata(self) -> dict[str, str]:
        """The graph's ``metadata_props``."""
        return dict(self.model.metadata)

    @property
    def picture(self) -> Tensor | None:
        """The only input, where it has four dimensions, or is one picture [3, H, W]: then as [1, 3, H, W]."""
        taken = self.model.signature.inputs
        if len(taken) == 1 and len(taken[0].shape) == 4:
            return taken[0]
        return inputs.one_picture(self.model.signature)

    @property
    def frame(self) -> tuple[int, int] | None:
        """Height and width of the picture that the network takes, pixels; None where they are free."""
        size = self._sides()
        return size if size is not None and min(size) > 0 else None

    @property
    def sampled_frame(self) -> tuple[int, int] | None:
        """Height and width of the picture in ``samples``, pixels."""
        size = self._sides()
        return None if size is None else (size[0] if size[0] > 0 else 320, size[1] if size[1] > 0 else 320)

    def literal(self, key: str) -> Any:
        """Return what the metadata says under ``key`` as Python, or None: Ultralytics writes ``str(value)``."""
        try:
            return ast.literal_eval(self.model.metadata.get(key, ""))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that literal_eval raises
            return None

    @property
    def named_classes(self) -> int | None:
        """How many class names the metadata has; None for none."""
        names = self.literal("names")
        return len(names) if isinstance(names, (dict, list)) and names else None

    @cached_property
    def samples(self) -> tuple[Array, ...] | None:
        """The outputs for one random input, all [0, 1); None where the network does not run on that."""
        import kit.graph

        feeds = {t.name: inputs.random(t, 1) for t in self.model.signature.inputs}
        try:
            return kit.graph.answer(kit.graph.session(self.model.path, optimize=False), feeds)
        except UnsupportedModelError:
            return None

    def operators(self, index: int) -> frozenset[str]:
        """Return the operators that an output depends on."""
        return frozenset(node.op_type for node in self._ancestors(self.outputs[index].name))

    def ending(self, index: int) -> str:
        """Return the operator that makes an output's numbers, behind those that only change its form."""
        return self._maker(self.outputs[index].name)

    def pieces(self, index: int, size: int) -> tuple[Piece, ...]:
        """Return what an output's dimension of ``size`` is concatenated from; empty where it is not, or not seen.

        Goes back over changes of form and over concatenations along other dimensions, such as that of all scales.
        """
        name, seen = self.outputs[index].name, 0
        while (node := self._makers.get(name)) is not None and seen < 64:
            seen += 1
            if node.op_type == "Concat":
                found = tuple(self._expand(node, _axis(node, self._rank(node.output[0]))))
                if len(found) > 1 and sum(piece.size for piece in found) == size:
                    return found
            elif node.op_type not in _FORM_ONLY:
                return ()
            name = node.input[0]
        return ()

    def _expand(self, node: onnx.NodeProto, axis: int) -> Iterator[Piece]:
        """Yield the parts of a concatenation, those of inner ones along the same dimension included."""
        for name in node.input:
            maker, shape = self._makers.get(name), self._shapes.get(name, ())
            if maker is not None and maker.op_type == "Concat" and _axis(maker, self._rank(name)) == axis:
                yield from self._expand(maker, axis)
            else:
                yield Piece(size=shape[axis] if axis < len(shape) else -1, maker=self._maker(name))

    def _maker(self, name: str) -> str:
        """Return the operator behind changes of form and behind concatenations of what one operator made."""
        while (node := self._makers.get(name)) is not None and node.op_type in _FORM_ONLY:
            name = node.input[0]
        if node is None:
            return ""
        if node.op_type != "Concat":
            return str(node.op_type)
        makers = {self._maker(part) for part in node.input}
        return makers.pop() if len(makers) == 1 else "Concat"

    def _ancestors(self, name: str) -> Iterator[onnx.NodeProto]:
        waiting, seen = [name], {name}
        while waiting:
            node = self._makers.get(waiting.pop())
            if node is None:
                continue
            yield node
            waiting += [taken for taken in node.input if taken not in seen]
            seen.update(node.input)

    def _rank(self, name: str) -> int:
        return len(self._shapes.get(name, ()))

    def _sides(self) -> tuple[int, int] | None:
        picture = self.picture
        if picture is None:
            return None
        return picture.shape[2:] if picture.shape[1] in (1, 3) else picture.shape[1:3]  # type: ignore[return-value]

    @cached_property
    def _proto(self) -> onnx.ModelProto:
        """The graph with the shapes of its inner tensors and without its weights."""
        import onnx

        import kit.graph

        proto = kit.graph.without_weights(onnx.load(str(self.model.path), load_external_data=False))
        try:
            return onnx.shape_inference.infer_shapes(proto, data_prop=True)
        except kit.graph.onnx_failures():
            return proto

    @cached_property
    def _makers(self) -> dict[str, onnx.NodeProto]:
        return {name: node for node in self._proto.graph.node for name in node.output}

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        graph = self._proto.graph
        values = (*graph.value_info, *graph.output, *graph.input)
        shapes = {
            v.name: tuple(d.dim_value if d.HasField("dim_value") else -1 for d in v.type.tensor_type.shape.dim)
            for v in values
        }
        return {**shapes, **{t.name: tuple(t.dims) for t in graph.initializer}}


def _axis(node: onnx.NodeProto, rank: int) -> int:
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
    return axis if axis >= 0 else axis + rank


@functools.lru_cache(maxsize=2)
def _kept(digest: str, path: str, signature: object) -> list[Evidence]:  # noqa: ARG001 (they are the key)
    return []


def of(model: Model) -> Evidence:
    """Return the evidence of a model; several that ask for the same one share it."""
    kept = _kept(model.digest, str(model.path), model.signature)
    if not kept:
        kept.append(Evidence(model))
    return kept[0]
