"""How a model is written: old and new forms of ONNX brought to one that ONNX Runtime loads, the rest refused.

What was changed is told, because the user's next export could do without it.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import UnsupportedModelError
from kit.types import Signature

if TYPE_CHECKING:
    import onnx
    import onnxruntime

_OLDEST_OPSET = 7
"""From here on ONNX Runtime promises to load models: https://onnxruntime.ai/docs/reference/compatibility.html."""

_SURE_OPSET = 22
"""Every ONNX Runtime that the kit may be installed with loads up to here."""

_RAISED_TO = 13
_USUAL_OPSET = 18
_PLAIN_IR = 10
"""What came later are element types and remarks for several devices; without them a model is an older one."""

_NEWER_TYPES = ("FLOAT4E2M1", "FLOAT8E8M0", "UINT2", "INT2", "FLOAT6E2M3", "FLOAT6E3M2")
_SERVED_DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "com.microsoft", "com.microsoft.nchwc",
     "com.microsoft.experimental", "com.ms.internal.nhwc", "org.pytorch.aten"}
)  # fmt: skip
"""What is compiled into ONNX Runtime: onnxruntime/core/graph/constants.h."""

_REMEDIES = {
    "TRT": "it is a plugin of TensorRT: export the network without it, the kit puts NMS behind the network itself",
    "mmdeploy": "it needs MMDeploy's own library: export with its backend_config.type onnxruntime, without NMS",
    "ai.onnx.contrib": "they are of onnxruntime-extensions, which Triton does not load: leave them out",
    "torchvision": "export the network without its post-processing",
}


def bring_up(model: onnx.ModelProto, name: str) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Return the model as ONNX Runtime loads it, and a remark on each thing that was changed.

    ``name`` is the file's, for messages. The model that is given may be changed. Raises ``UnsupportedModelError``
    for operators that nobody can run, and for operator sets that are too new and cannot be lowered.
    """
    require_known_operators(model, name)
    remarks = [*_defaults_are_weights(model), *_make_dense(model)]
    model, changed = _fit_opset(model, name)
    _fit_ir(model)
    return model, (*remarks, *changed)


def require_known_operators(model: onnx.ModelProto, name: str) -> None:
    """Refuse operators of others than ONNX and Microsoft that the model does not define as functions itself."""
    own = {(f.domain, f.name) for f in model.functions}
    unknown = Counter(
        f"{node.domain}::{node.op_type}"
        for node in nodes(model)
        if node.domain not in _SERVED_DOMAINS and (node.domain, node.op_type) not in own
    )
    if not unknown:
        return
    named = ", ".join(f"{operator} ({count}x)" for operator, count in sorted(unknown.items())[:5])
    remedy = next((text for word, text in _REMEDIES.items() if any(word in operator for operator in unknown)), None)
    raise UnsupportedModelError(
        f"{name} has operators that neither ONNX nor ONNX Runtime defines: {named}; "
        + (remedy or "export it without them, or with an ONNX function for each (onnxscript does that)")
    )


def raised(model: onnx.ModelProto, least: int, why: str = "is too old", instead: str = "") -> onnx.ModelProto:
    """Return a model whose default operator set is ``least`` at least; the same where it is already.

    An older one is raised to 18, which every exporter writes now, or to ``least`` where that is newer. Raises
    ``UnsupportedModelError`` where onnx cannot: it says ``why`` that is needed and what would do ``instead``.
    """
    import onnx.version_converter

    from kit.graph import one_line, onnx_failures, opset

    if opset(model) >= least:
        return model
    try:
        return onnx.version_converter.convert_version(model, max(least, _USUAL_OPSET))
    except onnx_failures() as error:
        raise UnsupportedModelError(
            f"opset {opset(model)} {why} and onnx cannot raise it ({one_line(error)[:160]}); "
            f"export again with opset {_USUAL_OPSET}{instead}"
        ) from error


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield every node, those in subgraphs and functions too."""
    yield from _all(model.graph.node)
    for function in model.functions:
        yield from _all(function.node)


def fix_false_batch(model: onnx.ModelProto, signature: Signature) -> bool:
    """Write the batch of 1 into a graph that calls it free and then reshapes to 1; tell whether that was so.

    Exporters do this where the network names sizes. Such a model answers for one element only.
    """
    import kit.graph
    from kit import inputs

    free = signature.inputs and all(t.shape and t.shape[0] == -1 for t in signature.inputs)
    if not free or not all(t.shape for t in signature.outputs) or not _reshapes_to_a_batch(model):
        return False
    feeds = {t.name: inputs.random(t, 2) for t in signature.inputs}
    running = kit.graph.session(model.SerializeToString(), threads=1, optimize=False)
    if _rows(running, feeds) == {2} or _rows(running, {n: v[:1] for n, v in feeds.items()}) != {1}:
        return False
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    return True


def _rows(running: onnxruntime.InferenceSession, feeds: dict[str, Any]) -> set[int]:
    """Return how many rows the outputs have; none where the model does not run. Raises ``NeverAnswersError``."""
    import kit.graph

    try:
        return {len(output) for output in kit.graph.answer(running, feeds)}
    except kit.graph.NeverAnswersError:
        raise
    except UnsupportedModelError:
        return set()


def _reshapes_to_a_batch(model: onnx.ModelProto) -> bool:
    """Tell whether some Reshape has a number in front, as those have that an exporter fixed."""
    from onnx import numpy_helper

    shapes = {t.name: t for t in model.graph.initializer}
    shapes |= {n.output[0]: a.t for n in model.graph.node if n.op_type == "Constant" for a in n.attribute}
    wanted = [shapes[n.input[1]] for n in model.graph.node if n.op_type == "Reshape" and n.input[1] in shapes]
    first = (numpy_helper.to_array(t).reshape(-1)[:1] for t in wanted)  # nothing in it: to a scalar
    return any(bool(number.size) and int(number[0]) > 0 for number in first)


def rounding(path: Path) -> str:
    """Return what a graph rounds to inside, whatever its outputs are: ``fp32``, ``fp16`` (or BF16) or ``int8``."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    if is_quantised(model):
        return "int8"
    return "fp16" if computes_in_half(model) else "fp32"


def chooses(path: Path) -> bool:
    """Tell whether the user's network, inside a served graph, picks rows of its own: by TopK or NMS."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    picks = {"TopK", "NonMaxSuppression"}
    return any(node.op_type in picks and node.output[0].startswith("network/") for node in nodes(model))


def is_quantised(model: onnx.ModelProto) -> bool:
    """Tell whether a graph computes with integers that stand for real numbers: Q/DQ, QOperator or dynamic."""
    return any(
        re.search(r"Quantize|^QLinear|^QGemm|^QAttention|Integer$|^MatMulNBits$", node.op_type) for node in nodes(model)
    )


def computes_in_half(model: onnx.ModelProto) -> bool:
    """Tell whether a graph holds FP16 or BF16 weights or casts to them, whatever its inputs and outputs are."""
    import onnx

    narrow = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    if any(t.data_type in narrow for t in model.graph.initializer):
        return True
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    if any(v.type.tensor_type.elem_type in narrow for v in values):
        return True
    attributes = (a for node in nodes(model) for a in node.attribute)
    return any((a.name == "to" and a.i in narrow) or (a.HasField("t") and a.t.data_type in narrow) for a in attributes)


def _all(found: Any) -> Iterator[onnx.NodeProto]:
    for node in found:
        yield node
        for attribute in node.attribute:
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _all(graph.node)


def _defaults_are_weights(model: onnx.ModelProto) -> list[str]:
    """Take weights out of the inputs, where files before IR 4 had to list them; Triton would ask clients for them."""
    weights = {t.name for t in model.graph.initializer} | {t.values.name for t in model.graph.sparse_initializer}
    kept = [value for value in model.graph.input if value.name not in weights]
    if len(kept) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, 4)
    return []


def _make_dense(model: onnx.ModelProto) -> list[str]:
    """Write sparse weights out: onnxsim and onnx's composer do not know them."""
    import numpy as np
    from onnx import numpy_helper

    found = list(model.graph.sparse_initializer)
    for sparse in found:
        values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
        dense = np.zeros(tuple(sparse.dims), values.dtype)
        if indices.ndim == 1:
            dense.reshape(-1)[indices] = values
        else:
            dense[tuple(indices.T)] = values
        model.graph.initializer.append(numpy_helper.from_array(dense, sparse.values.name))
    del model.graph.sparse_initializer[:]
    return [f"{len(found)} sparse weights were written out"] if found else []


def _fit_opset(model: onnx.ModelProto, name: str) -> tuple[onnx.ModelProto, list[str]]:
    """Convert operators that are older or newer than ONNX Runtime's."""
    from kit.graph import opset

    version = opset(model)
    if 0 < version < _OLDEST_OPSET:
        model = _with_fixed_shapes(model)
        return _convert(model, _RAISED_TO, name, f"older than {_OLDEST_OPSET}, the oldest that ONNX Runtime loads")
    if version > _SURE_OPSET and version > (newest := newest_opset()):
        return _convert(model, newest, name, f"newer than {newest}, the newest that this ONNX Runtime loads")
    return model, []


def _with_fixed_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fix a free batch at 1 and infer all shapes: onnx's adapters for the oldest operators need them as numbers.

    The batch is made free again by its own stage, as that of any other file with a fixed one.
    """
    import onnx

    from kit.graph import onnx_failures

    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = 1
    newer = onnx.ModelProto()
    newer.CopyFrom(model)
    for one in newer.opset_import:
        one.version = max(one.version, 6) if one.domain in ("", "ai.onnx") else one.version  # 1 to 5 infer no shapes
    del model.graph.value_info[:]
    with suppress(*onnx_failures()):  # the adapters say what they lack
        model.graph.value_info.extend(onnx.shape_inference.infer_shapes(newer).graph.value_info)
    return model


def _convert(model: onnx.ModelProto, wanted: int, name: str, why: str) -> tuple[onnx.ModelProto, list[str]]:
    import onnx.version_converter

    from kit.graph import one_line, onnx_failures, opset

    try:
        made = onnx.version_converter.convert_version(model, wanted)
        onnx.checker.check_model(made)
    except onnx_failures() as error:
        raise UnsupportedModelError(
            f"{name} has opset {opset(model)}, {why}, and onnx cannot convert it ({one_line(error)[:160]}); "
            "export it with opset 18"
        ) from error
    return made, [f"opset {opset(model)} is {why}: converted to {wanted}"]


def _fit_ir(model: onnx.ModelProto) -> None:
    """Call the file's format an older one where it holds nothing of the newer."""
    import onnx

    names = dict(onnx.TensorProto.DataType.items())
    newer = {names[kind] for kind in _NEWER_TYPES if kind in names}
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    if model.ir_version <= _PLAIN_IR or any(t.data_type in newer for t in model.graph.initializer):
        return
    if any(v.type.tensor_type.elem_type in newer for v in values):
        return
    if any(a.name == "to" and a.i in newer for node in nodes(model) for a in node.attribute):
        return
    model.ir_version = _PLAIN_IR
    model.ClearField("configuration")
    for node in nodes(model):
        node.ClearField("device_configurations")


@functools.cache
def newest_opset() -> int:
    """Return the newest operator set that the installed ONNX Runtime loads; it says so when it is asked for more."""
    from onnx import TensorProto, defs, helper

    import kit.graph

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", value[:1], value[1:])
    asked = int(defs.onnx_opset_version())
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", asked)], ir_version=_PLAIN_IR)
    try:
        kit.graph.session(model.SerializeToString(), threads=1, optimize=False)
    except UnsupportedModelError as error:
        found = re.search(r"till opset (\d+)", str(error))
        return int(found[1]) if found else _SURE_OPSET
    return asked
