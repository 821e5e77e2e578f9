"""The inner tensors of an ONNX file: the same graph with other outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import kit.graph
from kit.blame import graphs
from kit.blame.instrument import Array, Arrays, Tapping
from kit.blame.layers import folded
from kit.errors import UnsupportedModelError

if TYPE_CHECKING:
    import onnx

_BYTES = 4
_BYTES_BY_TYPE = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}
"""Of an element, by TensorProto.DataType."""


class OnnxTaps:
    """Opens a session for each set of tensors that is asked for: what they do not need is not computed."""

    by_module = False

    def __init__(self, path: Path, threads: int = 0) -> None:
        self._proto = kit.graph.read(path)
        self._threads = threads
        self.network = folded(graphs.network(self._proto.graph))

    def source(self, tensor: str) -> str:
        """Return the layer or input whose values a tensor holds."""
        return graphs.source(self._proto.graph, tensor)

    @property
    def made(self) -> frozenset[str]:
        """The tensors that some node computes."""
        return frozenset(name for node in self._proto.graph.node for name in node.output)

    def has(self, tensor: str) -> bool:
        """Tell whether some node computes a tensor."""
        return tensor in self.made

    def sizes(self, names: Iterable[str], feeds: Mapping[str, Array]) -> Mapping[str, int]:
        """Return the bytes of each tensor by shape inference; where that fails, those of the largest that is known."""
        known = _known_sizes(self._proto, feeds)
        largest = max(known.values(), default=max((v.nbytes for v in feeds.values()), default=1))
        return {name: known.get(name, largest) for name in names}

    @contextmanager
    def tapping(self, names: Sequence[str]) -> Iterator[Tapping]:
        """Open the graph with these tensors for outputs."""
        import onnx

        kept = list(self._proto.graph.output)
        del self._proto.graph.output[:]
        self._proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        try:
            session = kit.graph.session(self._proto.SerializeToString(), self._threads)
        finally:
            del self._proto.graph.output[:]
            self._proto.graph.output.extend(kept)
        taken = {value.name for value in session.get_inputs()}

        def run(feeds: Mapping[str, Array]) -> Arrays:
            given = {name: value for name, value in feeds.items() if name in taken}
            try:
                return dict(zip(names, kit.graph.answer(session, given), strict=True))
            except kit.graph.refusals() as error:
                raise UnsupportedModelError(f"the model does not run: {kit.graph.one_line(error)}") from error

        yield run


def _known_sizes(proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, int]:
    """Return the bytes of the tensors whose shapes follow from those of the feeds."""
    import math

    import onnx

    # Shapes do not depend on the values of large weights; without them inference copies little.
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    del shown.graph.value_info[:]
    for value in shown.graph.input:
        if value.name in feeds:
            del value.type.tensor_type.shape.dim[:]
            for size in feeds[value.name].shape:
                value.type.tensor_type.shape.dim.add(dim_value=size)
    try:
        inferred = onnx.shape_inference.infer_shapes(shown, data_prop=True)
    except kit.graph.onnx_failures():
        return {}
    found = {}
    for value in inferred.graph.value_info:
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            found[value.name] = math.prod(d.dim_value for d in tensor.shape.dim) * _BYTES_BY_TYPE.get(
                tensor.elem_type, _BYTES
            )
    return found
