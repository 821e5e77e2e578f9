"""A batch of fixed size made variable, where the graph allows it and equality proves it.

Most exports of detectors and classifiers have a batch of 1 written into their shapes. The sizes are followed
through the graph from the inputs, and every constant in which the batch stands (shapes of Reshape and Expand, sizes
of Resize, constants that are joined to it) is made to follow the input. Nothing is trusted: the result must answer
for k pictures together what the model answers for each alone, or the model stays as it is and the reason is told.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kit import inputs, simplify
from kit.errors import KitError
from kit.types import Model, Signature

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx


Array: TypeAlias = "npt.NDArray[np.generic]"
Arrays: TypeAlias = "dict[str, Array]"
Runner: TypeAlias = "Callable[[Arrays], Arrays]"

_LARGEST_FIXED = 64
"""A first dimension beyond is no batch."""

_SYMBOL = "batch"


class _CannotFollowError(Exception):
    """The batch is lost on its way through the graph; says where."""


def fixed_batch(signature: Signature) -> int | None:
    """Return the batch size that is written into a model's shapes, or None where there is none or it is free.

    More than 1 counts where the model takes pictures: any matrix begins with some number.
    """
    sizes = {t.shape[0] if t.shape else None for t in signature.inputs}
    size = next(iter(sizes)) if len(sizes) == 1 else None
    if size is None or not 1 <= size <= _LARGEST_FIXED or any(len(t.shape) < 2 for t in signature.inputs):
        return None
    if any(not t.shape or t.shape[0] not in (size, -1) for t in signature.outputs):
        return None
    return size if size == 1 or any(len(t.shape) == 4 for t in signature.inputs) else None


def make_variable(model: Model, folder: Path) -> Model:
    """Write the model with a free batch into ``folder``; the model itself where that cannot be done, with the reason.

    Raises nothing of its own: a model that cannot be batched is served without batching.
    """
    import kit.graph

    size = fixed_batch(model.signature)
    assert size is not None
    try:
        made = _write(model, size, folder)
        _require_equal(model, made, size)
    except (_CannotFollowError, KitError) as error:
        (folder / "model.onnx").unlink(missing_ok=True)
        reason = kit.graph.one_line(error)[:220]
        note = f"the batch stays {size} and requests are not batched: {reason}; export with a free batch where you can"
        return replace(kit.graph.unchanged(model, folder), notes=(note,))
    note = f"the batch of {size} was made variable: several pictures together are answered as each alone"
    return replace(made, notes=(note,))


def in_parts(run: Runner, size: int) -> Runner:
    """Return a function that gives ``run`` so many rows at a time, the last filled up with copies of its last."""

    def answer(feeds: Arrays) -> Arrays:
        import numpy as np

        count = len(next(iter(feeds.values())))
        rows = [np.minimum(np.arange(first, first + size), count - 1) for first in range(0, count, size)]
        parts = [run({name: np.ascontiguousarray(value[taken]) for name, value in feeds.items()}) for taken in rows]
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}

    return answer


def _write(model: Model, size: int, folder: Path) -> Model:
    import kit.graph

    # With its constants folded, the sizes inside are numbers that can be followed.
    folded = folder / "folded"
    folded.mkdir()
    simpler = simplify.simplify(model, folded)
    proto = _freed(kit.graph.read(simpler.path), size)
    shutil.rmtree(folded)
    path = folder / "model.onnx"
    made = kit.graph.save(proto, path)
    for was, now in zip(model.signature.outputs, made.signature.outputs, strict=True):
        if len(now.shape) != len(was.shape) or now.shape[0] != -1:
            raise _CannotFollowError(f"output {now.name} becomes {list(now.shape)} of {list(was.shape)}")
    return made


def _freed(proto: onnx.ModelProto, size: int) -> onnx.ModelProto:
    """Return the graph with a free first dimension of inputs and outputs, and constants that follow it."""
    import onnx

    import kit.graph

    try:
        shaped = onnx.shape_inference.infer_shapes(kit.graph.without_weights(proto), data_prop=True)
    except kit.graph.onnx_failures() as error:
        raise _CannotFollowError(f"its shapes cannot be inferred ({error})") from error
    follower = _Follower(graph=proto.graph, shapes=_shapes(shaped.graph), size=size)
    follower.run()
    for value in (*proto.graph.input, *proto.graph.output):
        if not value.type.tensor_type.shape.dim:
            raise _CannotFollowError(f"{value.name} has no dimension in the file")
        value.type.tensor_type.shape.dim[0].dim_param = _SYMBOL
    del proto.graph.value_info[:]
    return proto


def _require_equal(model: Model, made: Model, size: int) -> None:
    """Hold several pictures together against the model's answers to each alone; one picture is asked too.

    Raises ``_CannotFollowError``, and ``UnsupportedModelError`` where the result does not run.
    """
    import numpy as np

    from kit import compare

    count = 2 * size
    feeds = {t.name: inputs.random(t, count) for t in made.signature.inputs}
    before, after = compare.runner(model.path), compare.runner(made.path)
    alone = in_parts(before, size)(feeds)
    tolerance = compare.tolerance_of(model.path)
    for together in (1, count):
        answers = after({n: np.ascontiguousarray(v[:together]) for n, v in feeds.items()})
        for name, got in answers.items():
            expected = alone[name][:together]
            if np.issubdtype(expected.dtype, np.inexact) and np.isnan(expected).any():
                raise _CannotFollowError(f"output {name} is NaN, so that nothing can be compared")
            if got.shape != expected.shape:
                raise _CannotFollowError(f"output {name} has shape {list(got.shape)} for a batch of {together}")
            found = compare.difference(name, expected, got)
            if compare.exceeds(found, tolerance):
                raise _CannotFollowError(f"output {name} changes by {found.maximum:.3g} in a batch of {together}")


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes that are known; -1 is a dimension that is not."""
    found = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            found[value.name] = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return found


class _Follower:
    """Walks the nodes in order and knows for each tensor on which axis the batch is (absent: on none)."""

    def __init__(self, *, graph: onnx.GraphProto, shapes: dict[str, tuple[int, ...]], size: int) -> None:
        self._graph = graph
        self._shapes = shapes
        self._size = size
        self._axis: dict[str, int] = {}
        self._numbers = itertools.count()
        self._constants = _constants(graph)
        self._made: list[onnx.NodeProto] = []
        self._lengths: dict[tuple[str, int], str] = {}

    def run(self) -> None:
        """Rewrite the graph in place. Raises ``_CannotFollowError``."""
        self._axis = {value.name: 0 for value in self._graph.input}
        rewrite: dict[str, Callable[[onnx.NodeProto], None]] = {
            "Reshape": self._reshape, "Expand": self._expand, "Resize": self._resize, "Concat": self._concat,
            "Upsample": self._as_it_is,
        }  # fmt: skip
        for node in list(self._graph.node):
            carried = any(name in self._axis for name in node.input)
            if carried and node.domain in ("", "ai.onnx"):
                rewrite.get(node.op_type, self._as_it_is)(node)
            self._made.append(node)
            if carried:
                self._follow(node)
        del self._graph.node[:]
        self._graph.node.extend(self._made)

    def _as_it_is(self, node: onnx.NodeProto) -> None:
        """Leave a node whose shapes follow its inputs."""

    def _reshape(self, node: onnx.NodeProto) -> None:
        """Let the axis that holds the batch be what is left over (-1), the others as they were."""
        if node.input[0] not in self._axis or node.input[1] not in self._constants:
            return
        before, after = self._known(node.input[0]), self._known(node.output[0])
        axis = _after_reshape(before, after, self._axis[node.input[0]], self._size)
        if axis is None:
            raise _CannotFollowError(f"Reshape {node.name or node.output[0]} turns {list(before)} into {list(after)}")
        node.input[1] = self._constant([-1 if i == axis else d for i, d in enumerate(after)])
        for attribute in [a for a in node.attribute if a.name == "allowzero"]:
            node.attribute.remove(attribute)

    def _expand(self, node: onnx.NodeProto) -> None:
        """A 1 in the wanted shape leaves the batch as it is."""
        if node.input[0] not in self._axis or node.input[1] not in self._constants:
            return
        wanted = [int(d) for d in self._constants[node.input[1]]]
        axis = self._axis[node.input[0]] - len(self._known(node.input[0])) + len(wanted)
        if 0 <= axis < len(wanted) and wanted[axis] != 1:
            wanted[axis] = 1
            node.input[1] = self._constant(wanted)

    def _resize(self, node: onnx.NodeProto) -> None:
        """Sizes name the batch too: they are put together when the graph runs."""
        given = len(node.input) > 3 and node.input[3]
        if not given or given not in self._constants or any(a.name == "axes" for a in node.attribute):
            return
        sizes, axis = [int(d) for d in self._constants[given]], self._axis[node.input[0]]
        node.input[3] = self._joined(node.input[0], axis, sizes)

    def _concat(self, node: onnx.NodeProto) -> None:
        """Repeat constants that are joined to the batch on another axis: class tokens, anchors."""
        carrier = next(name for name in node.input if name in self._axis)
        axis, joined = self._axis[carrier], int(_attribute(node, "axis", 0))
        rank = len(self._known(carrier))
        if joined % rank == axis:
            raise _CannotFollowError(f"Concat {node.name or node.output[0]} joins along the batch")
        for index, name in enumerate(node.input):
            if name in self._axis:
                continue
            shape = self._known(name)
            if shape[axis] != self._size or (self._size > 1 and name not in self._constants):
                raise _CannotFollowError(
                    f"Concat {node.name or node.output[0]} joins {name} {list(shape)} to the batch"
                )
            node.input[index] = self._repeated(name, shape, axis, carrier)

    def _repeated(self, name: str, shape: tuple[int, ...], axis: int, carrier: str) -> str:
        """Return a tensor that holds ``name``'s first row along the batch as often as there are elements in it."""
        first = name
        if self._size > 1:
            zero = self._constant([0])
            first = self._node("Gather", [name, zero], axis=axis)
        wanted = self._joined(carrier, axis, [*shape[:axis], 1, *shape[axis + 1 :]], at=self._axis[carrier])
        return self._node("Expand", [first, wanted])

    def _joined(self, carrier: str, axis: int, sizes: list[int], at: int | None = None) -> str:
        """Return a tensor with ``sizes``, in which the one on ``axis`` is the carrier's batch size."""
        length = self._length(carrier, axis if at is None else at)
        parts = [self._constant(part) if isinstance(part, list) else part
                 for part in (sizes[:axis], length, sizes[axis + 1 :]) if part]  # fmt: skip
        return parts[0] if len(parts) == 1 else self._node("Concat", parts, axis=0)

    def _length(self, carrier: str, axis: int) -> str:
        if (carrier, axis) not in self._lengths:
            shape = self._node("Shape", [carrier])
            self._lengths[carrier, axis] = self._node("Gather", [shape, self._constant([axis])], axis=0)
        return self._lengths[carrier, axis]

    def _follow(self, node: onnx.NodeProto) -> None:
        """Note the batch's axis in a node's outputs: found by the sizes before and after."""
        carrier = next(name for name in node.input if name in self._axis)
        axis = self._axis_after(node, carrier)
        if axis is None:
            return
        for name in node.output:
            if name and (shape := self._shapes.get(name)) is not None and axis < len(shape):
                self._axis[name] = axis

    def _axis_after(self, node: onnx.NodeProto, carrier: str) -> int | None:
        axis, before = self._axis[carrier], self._shapes.get(carrier)
        after = self._shapes.get(node.output[0])
        if node.op_type in ("Shape", "Size", "NonMaxSuppression") or before is None or after is None:
            return None
        if node.op_type == "Transpose":
            return list(_attribute(node, "perm", [*reversed(range(len(before)))])).index(axis)
        if node.op_type == "Reshape":
            return _after_reshape(before, after, axis, self._size)
        if node.op_type == "Gather":
            return self._after_gather(node)
        if len(after) == len(before):
            return axis
        if node.op_type in ("Squeeze", "Unsqueeze") or node.op_type.startswith(("Reduce", "Arg")):
            return self._after_change_of_rank(node, axis, len(before), len(after))
        return axis + len(after) - len(before) if len(after) > len(before) else axis

    def _after_change_of_rank(self, node: onnx.NodeProto, axis: int, before: int, after: int) -> int | None:
        """Return where the batch is when axes have gone or come in front of it."""
        given = _attribute(node, "axes", None) or _attribute(node, "axis", None)
        if given is None and len(node.input) > 1:
            given = self._constants.get(node.input[1])
        if given is None:
            return None
        axes = {int(a) % max(before, after) for a in ([given] if isinstance(given, int) else list(given))}
        if after < before:
            return None if axis in axes else axis - sum(a < axis for a in axes)
        return [a for a in range(after) if a not in axes][axis]

    def _after_gather(self, node: onnx.NodeProto) -> int:
        taken = int(_attribute(node, "axis", 0)) % max(1, len(self._known(node.input[0])))
        if node.input[0] not in self._axis:  # the batch is one of indices into a table
            return taken + self._axis[node.input[1]]
        axis = self._axis[node.input[0]]
        if taken == axis:
            raise _CannotFollowError(f"Gather {node.name or node.output[0]} picks from the batch")
        return axis if taken > axis else axis + len(self._shapes.get(node.input[1], ())) - 1

    def _known(self, name: str) -> tuple[int, ...]:
        shape = self._shapes.get(name)
        if shape is None or -1 in shape:
            raise _CannotFollowError(f"the shape of {name} is not known")
        return shape

    def _constant(self, values: list[int]) -> str:
        import numpy as np
        from onnx import numpy_helper

        name = f"kit/batch/{next(self._numbers)}"
        self._graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def _node(self, operator: str, names: list[str], **attributes: int) -> str:
        from onnx import helper

        name = f"kit/batch/{next(self._numbers)}"
        self._made.append(helper.make_node(operator, names, [name], name=name, **attributes))
        return name


def _after_reshape(before: tuple[int, ...], after: tuple[int, ...], axis: int, size: int) -> int | None:
    """Return the axis of ``after`` that begins where ``before``'s axis does: the same number of elements in front.

    With dimensions of 1 around, several do. A dimension in which the batch was merged with others (windows or heads
    of attention) comes apart again where one of the batch's own size is offered.
    """
    if -1 in before[:axis]:
        return None
    front = _product(before[:axis])
    starts = [i for i in range(len(after)) if _product(after[:i]) == front and after[i] % size == 0]
    merged = before[axis] != size
    if merged and (alone := [i for i in starts if after[i] == size]):
        return alone[0]
    return axis if axis in starts else (starts[-1] if starts else None)


def _product(sizes: tuple[int, ...]) -> int:
    found = 1
    for size in sizes:
        found *= size
    return found


def _attribute(node: onnx.NodeProto, name: str, otherwise: Any) -> Any:
    import onnx

    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), otherwise)


def _constants(graph: onnx.GraphProto) -> dict[str, Array]:
    """Return the small integer constants of a graph by name."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    integers = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    found = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type in integers}
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value" and attribute.t.data_type in integers:
                found[node.output[0]] = numpy_helper.to_array(attribute.t)
            elif attribute.name == "value_ints":
                found[node.output[0]] = np.array(attribute.ints, np.int64)
    return found
