"""A detector that plain quantisation loses: wide and narrow outputs share a scale, and filters are far outside SiLU."""

from __future__ import annotations

import contextlib
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from pictures import DETECTOR, ROOT, Files, ask, digits, saved

from kit import inputs, precision

FOLDER = ROOT / "examples" / "digits" / "test"
IMAGES = 24
BUDGET = 0.01
FAR = -2000.0


def with_dead_filters(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Add to each bottleneck of digits a filter that is always at -2000 before SiLU, and that nobody looks at.

    The answers are the same to the bit: SiLU makes nothing of it, and the weights behind it are zero.
    """
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    for name in [n for n in weights if n.endswith("body.0.0.weight")]:
        narrow, wide = name.removesuffix(".weight"), name.replace("body.0.0", "body.1.0")
        _widen(weights[name], 0, 0.0)
        _widen(weights[f"{narrow}.bias"], 0, FAR)
        _widen(weights[wide], 1, 0.0)
    del proto.graph.value_info[:]
    return proto


def _widen(tensor: onnx.TensorProto, axis: int, value: float) -> None:
    array = numpy_helper.to_array(tensor)
    more = np.full_like(array.take([0], axis), value)
    tensor.CopyFrom(numpy_helper.from_array(np.concatenate([array, more], axis), tensor.name))


@cache
def truth() -> tuple[dict[str, Any], list[int]]:
    document = json.loads((FOLDER / "annotations.json").read_text())
    kept = sorted(image["id"] for image in document["images"])[:IMAGES]
    return document, kept


def mean_average_precision(proto: onnx.ModelProto) -> float:
    """COCO's mAP50-95 of what the network gives to post-processing, on the first test images."""
    from pycocotools.coco import COCO

    import kit.graph
    from examples.digits import evaluate

    opened = onnx.ModelProto()
    opened.CopyFrom(proto)
    read = next(node.input[0] for node in proto.graph.node if "detect/centre" in node.output)
    opened.graph.output.append(onnx.ValueInfoProto(name=read))
    session = kit.graph.session(opened.SerializeToString())
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(FOLDER / "annotations.json"))
    rows: list[dict[str, object]] = []
    for index in truth()[1]:
        frame = inputs.read_image(FOLDER / "images" / coco.imgs[index]["file_name"], (320, 320), 3)
        (raw,) = session.run([read], {"images": frame[None]})
        found = evaluate.suppress(evaluate.candidates(raw[0], 0.01), 0.65, 100)
        rows += evaluate.coco_rows(index, found)
    return evaluate.accuracy_of(coco, rows, truth()[1]).map50_95 if rows else 0.0


def plain(proto: onnx.ModelProto, folder: Path, *, without_head: bool) -> onnx.ModelProto:
    """Quantise as the documentation's first example does: every operator, one scale for each tensor."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    feeds = iter(Files(step=16).feeds(digits().signature))

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            return next(feeds, None)

    folder.mkdir()
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    onnx.save(proto, folder / "before.onnx")
    head = [n.name for n in proto.graph.node if "head" in " ".join(n.input) or not n.name.startswith("network/")]
    body = [n.name for n in proto.graph.node if n.name.startswith("network/")]
    last = body[body.index("network/node_mul_413") :]
    quantize_static(
        folder / "before.onnx", folder / "after.onnx", Reader(), quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=False,
        nodes_to_exclude=[*head, *last] if without_head else [],
    )  # fmt: skip
    return onnx.load(str(folder / "after.onnx"))


@pytest.fixture(scope="module")
def fragile() -> onnx.ModelProto:
    return with_dead_filters(onnx.load(str(digits().path)))


@pytest.fixture(scope="module")
def before(fragile: onnx.ModelProto) -> float:
    value = mean_average_precision(fragile)
    assert value == pytest.approx(mean_average_precision(onnx.load(str(digits().path))), abs=1e-6)
    return value


@pytest.mark.parametrize("without_head", [False, True], ids=["all", "without the head"])
def test_plain_quantisation_loses_it(fragile: Any, before: float, without_head: bool, tmp_path: Path) -> None:
    lost = mean_average_precision(plain(fragile, tmp_path / "plain", without_head=without_head))
    assert lost < before - 10 * BUDGET


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_ours_holds_the_budget(
    fragile: Any, before: float, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    given = ask(saved(fragile, tmp_path / "model"), meaning=DETECTOR, calibration=Files(step=20), backend=backend)
    lowered = precision.get("int8").apply(given, tmp_path)
    assert mean_average_precision(onnx.load(str(lowered.model.path))) > before - BUDGET
