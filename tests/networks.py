"""Detectors with the real ends of YOLO, DETR and SSD, a three-layer backbone and random weights, for 64 x 96 frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import models
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH = 64, 96
STRIDES = (8, 16, 32)
CELLS = sum((HEIGHT // s) * (WIDTH // s) for s in STRIDES)
_BINS = 4  # of YOLOv8's distribution of distances; 16 in the real ones
_WIDE = 8


class Net:
    """A graph that grows by one operator at a time; each returns the name of its result."""

    def __init__(self, seed: int = 0, opset: int = 17, batch: int | str = models.BATCH, flat: bool = False) -> None:
        self.chance = np.random.default_rng(seed)
        self.flat = flat
        self.opset, self.batch = opset, batch
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []

    def op(self, kind: str, *inputs: str, count: int = 1, **attributes: Any) -> Any:
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if count == 1 else names

    def value(self, array: Any, dtype: Any = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def sizes(self, *values: int) -> str:
        return self.value(values, np.int64)

    def conv(self, x: str, channels: int, to: int, stride: int = 1, spread: float = 1.0, shift: float = 0.0) -> str:
        kernel = max(1, stride)
        scale = spread * 2 / np.sqrt(channels * kernel * kernel)
        weight = self.value(self.chance.normal(0, scale, (to, channels, kernel, kernel)))
        bias = self.value(self.chance.normal(shift, 0.3 * spread, to))
        return str(self.op("Conv", x, weight, bias, strides=[stride, stride]))

    def features(self, largest: float = 1.0, *, resized: bool = False) -> list[str]:
        """Three maps of strides 8, 16 and 32, of pixels up to ``largest``."""
        x = "images"
        if resized:
            x = self.op("Resize", x, "", "", self.sizes(1, 3, HEIGHT, WIDTH), mode="linear")
        first = self.op("Relu", self.conv(x, 3, _WIDE, 8, 3.0 / largest))
        second = self.op("Relu", self.conv(first, _WIDE, _WIDE, 2))
        return [first, second, self.op("Relu", self.conv(second, _WIDE, _WIDE, 2))]

    def split(self, x: str, axis: int, *sizes: int) -> Any:
        return self.op("Split", x, self.sizes(*sizes), count=len(sizes), axis=axis)

    def mul(self, x: str, by: Any) -> str:
        return str(self.op("Mul", x, self.value(by)))

    def add(self, x: str, by: Any) -> str:
        return str(self.op("Add", x, self.value(by)))

    def done(
        self, outputs: dict[str, tuple[str, Sequence[int | str]]], metadata: dict[str, str] | None = None,
        types: dict[str, int] | None = None,
    ) -> onnx.ModelProto:  # fmt: skip
        """Return the model; ``outputs`` are ``name: (tensor, shape)``."""
        for name, (tensor, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [tensor], [name]))
        kinds = types or {}
        given, shape = "images", [self.batch, 3, HEIGHT, WIDTH]
        if self.flat:
            given, shape = "picture", [3, "height", "width"]
            self.nodes.insert(0, helper.make_node("Unsqueeze", ["picture", self.sizes(0)], ["images"]))
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(given, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), s) for n, (_, s) in outputs.items()],
            self.weights,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        helper.set_model_props(made, metadata or {})
        onnx.checker.check_model(made, full_check=True)
        return made


def ultralytics(task: str, classes: int, **more: object) -> dict[str, str]:
    """What Ultralytics writes into an export's metadata."""
    names = {index: f"thing {index}" for index in range(classes)}
    known = {"stride": 32, "task": task, "batch": 1, "imgsz": [HEIGHT, WIDTH], "names": names, **more}
    return {key: str(value) for key, value in known.items()}


def cells() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """x and y of each cell in strides [2, A], and its stride [1, A], finest first, row by row."""
    found = [(x, y, s) for s in STRIDES for y in range(HEIGHT // s) for x in range(WIDTH // s)]
    whole = np.array(found, np.float32).T
    return whole[:2], whole[2:]


def _flat(net: Net, maps: list[str], rows: int, **conv: float) -> str:
    """A convolution to ``rows`` on each map, all cells side by side: [N, rows, A]."""
    flat = [
        net.op("Reshape", net.conv(m, _WIDE, rows, **conv), net.sizes(0, rows, -1))  # type: ignore[arg-type]
        for m in maps
    ]
    return str(net.op("Concat", *flat, axis=2))


def _yolov8_rows(net: Net, maps: list[str], classes: int) -> tuple[str, str]:
    """Boxes [N, 4, A] in pixels by a distribution over distances, and sigmoids [N, classes, A]."""
    grid, strides = cells()
    distances = net.op("Reshape", _flat(net, maps, 4 * _BINS), net.sizes(0, 4, _BINS, CELLS))
    shares = net.op("Softmax", net.op("Transpose", distances, perm=[0, 2, 1, 3]), axis=1)
    mean = net.op("Conv", shares, net.value(np.arange(_BINS).reshape(1, _BINS, 1, 1)))
    low, high = net.split(net.op("Reshape", mean, net.sizes(0, 4, CELLS)), 1, 2, 2)
    centres = net.value((grid + 0.5)[None])
    first, second = net.op("Sub", centres, low), net.op("Add", centres, high)
    middle = net.op("Div", net.op("Add", first, second), net.value(2.0))
    boxes = net.op("Concat", middle, net.op("Sub", second, first), axis=1)
    return net.mul(boxes, strides[None]), net.op("Sigmoid", _flat(net, maps, classes, spread=3.0, shift=-2.0))


def yolov8(
    classes: int = 5, *, metadata: dict[str, str] | None = None, seed: int = 0, opset: int = 17,
    batch: int | str = models.BATCH, half: bool = False, free: bool = False,
) -> onnx.ModelProto:  # fmt: skip
    """YOLOv8 and YOLO11, detection: [N, 4 + C, A]; ``half``: its outputs are FP16; ``free``: of any size, it says."""
    net = Net(seed, opset, batch)
    boxes, scores = _yolov8_rows(net, net.features(), classes)
    output = net.op("Concat", boxes, scores, axis=1)
    if half:
        output = net.op("Cast", output, to=TensorProto.FLOAT16)
    if free:  # a shape that depends on pixels is known to nobody before
        nothing = net.op("Cast", net.mul(net.op("ReduceMax", "images", keepdims=0), 0.0), to=TensorProto.INT64)
        output = net.op("Reshape", output, net.op("Add", net.op("Shape", output), nothing))
    types = {"output0": TensorProto.FLOAT16} if half else None
    shape = (batch, "rows", "anchors") if free else (batch, 4 + classes, CELLS)
    return net.done({"output0": (output, shape)}, metadata, types)


def turned(classes: int = 5, *, objectness: bool = False, metadata: dict[str, str] | None = None) -> onnx.ModelProto:
    """YOLOv8 with its anchors first, [N, A, 4 + C]; with ``objectness``, all ones, YOLOv6: [N, A, 5 + C]."""
    net = Net()
    boxes, scores = _yolov8_rows(net, net.features(), classes)
    parts = [net.op("Transpose", part, perm=[0, 2, 1]) for part in (boxes, scores)]
    if objectness:
        first = net.op("Shape", net.op("Slice", boxes, net.sizes(0), net.sizes(1), net.sizes(1)))
        ones = net.op("Transpose", net.op("Expand", net.value([[[1.0]]]), first), perm=[0, 2, 1])
        parts.insert(1, ones)
    columns = (5 if objectness else 4) + classes
    return net.done({"outputs": (net.op("Concat", *parts, axis=2), (net.batch, CELLS, columns))}, metadata)


def _keypoint_rows(net: Net, maps: list[str], count: int, numbers: int) -> str:
    """[N, count * numbers, A]: pixels, and a sigmoid for visibility where there are three."""
    grid, strides = cells()
    raw = net.op("Reshape", _flat(net, maps, count * numbers), net.sizes(0, count, numbers, CELLS))
    parts = net.split(raw, 2, 2, 1) if numbers == 3 else [raw]
    placed = net.mul(net.add(net.mul(parts[0], 2.0), grid[None, None]), strides[None, None])
    if numbers == 3:
        placed = net.op("Concat", placed, net.op("Sigmoid", parts[1]), axis=2)
    return str(net.op("Reshape", placed, net.sizes(0, count * numbers, CELLS)))


def yolov8_pose(
    count: int = 4, numbers: int = 3, *, metadata: dict[str, str] | None = None, seed: int = 0
) -> onnx.ModelProto:
    """YOLOv8 pose, one class: [N, 4 + 1 + K * 3, A]."""
    net = Net(seed)
    maps = net.features()
    boxes, scores = _yolov8_rows(net, maps, 1)
    rows = net.op("Concat", boxes, scores, axis=1)
    output = net.op("Concat", rows, _keypoint_rows(net, maps, count, numbers), axis=1)
    return net.done({"output0": (output, (net.batch, 5 + count * numbers, CELLS))}, metadata)


def _prototypes(net: Net, maps: list[str], count: int) -> str:
    """[N, count, H / 4, W / 4]."""
    large = net.op("Resize", maps[0], "", net.value([1, 1, 2, 2]), mode="nearest")
    return net.conv(large, _WIDE, count)


def yolov8_segment(
    classes: int = 3, masks: int = 6, *, metadata: dict[str, str] | None = None, seed: int = 0, opset: int = 17,
    batch: int | str = models.BATCH,
) -> onnx.ModelProto:  # fmt: skip
    """YOLOv8 segmentation: [N, 4 + C + E, A] and prototypes [N, E, H / 4, W / 4]."""
    net = Net(seed, opset, batch)
    maps = net.features()
    boxes, scores = _yolov8_rows(net, maps, classes)
    rows = net.op("Concat", boxes, scores, axis=1)
    output = net.op("Concat", rows, _flat(net, maps, masks), axis=1)
    return net.done(
        {
            "output0": (output, (batch, 4 + classes + masks, CELLS)),
            "output1": (_prototypes(net, maps, masks), (batch, masks, HEIGHT // 4, WIDTH // 4)),
        },
        metadata,
    )


def yolov5(classes: int = 5, *, seed: int = 0, with_maps: bool = False) -> onnx.ModelProto:
    """YOLOv5 and YOLOv7: [N, 3 * A, 5 + C]; ``with_maps``: and the three undecoded maps, as older exports have."""
    net = Net(seed)
    columns = 5 + classes
    rows, raw = [], {}
    for index, (feature, stride) in enumerate(zip(net.features(), STRIDES, strict=True)):
        height, width = HEIGHT // stride, WIDTH // stride
        made = net.op("Reshape", net.conv(feature, _WIDE, 3 * columns), net.sizes(0, 3, columns, height, width))
        level = net.op("Transpose", made, perm=[0, 1, 3, 4, 2])
        raw[f"map{index}"] = (level, (net.batch, 3, height, width, columns))
        xy, wh, rest = net.split(net.op("Sigmoid", level), 4, 2, 2, 1 + classes)
        y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        placed = net.mul(net.add(net.mul(xy, 2.0), np.stack([x, y], -1)[None, None] - 0.5), float(stride))
        doubled = net.mul(wh, 2.0)
        anchors = np.array([[1, 1], [1, 2], [2, 1]]).reshape(1, 3, 1, 1, 2) * 1.5 * stride
        sized = net.mul(net.op("Mul", doubled, doubled), anchors)
        rows.append(net.op("Reshape", net.op("Concat", placed, sized, rest, axis=4), net.sizes(0, -1, columns)))
    output = net.op("Concat", *rows, axis=1)
    outputs = {"output0": (output, (net.batch, 3 * CELLS, columns)), **(raw if with_maps else {})}
    return net.done(outputs)  # type: ignore[arg-type]


def yolox(classes: int = 5, *, decoded: bool = False, seed: int = 0) -> onnx.ModelProto:
    """YOLOX: [N, A, 5 + C], offsets and logarithms, or ``decoded``."""
    net = Net(seed)
    flat = []
    for feature in net.features(largest=255.0):
        objectness = net.op("Sigmoid", net.conv(feature, _WIDE, 1, spread=2.0))
        scores = net.op("Sigmoid", net.conv(feature, _WIDE, classes, spread=2.0))
        level = net.op("Concat", net.conv(feature, _WIDE, 4, spread=0.5), objectness, scores, axis=1)
        flat.append(net.op("Reshape", level, net.sizes(0, 5 + classes, -1)))
    output = net.op("Transpose", net.op("Concat", *flat, axis=2), perm=[0, 2, 1])
    if decoded:
        grid, strides = cells()
        xy, wh, rest = net.split(output, 2, 2, 2, 1 + classes)
        centre = net.mul(net.add(xy, grid.T[None]), strides.T[None])
        output = net.op("Concat", centre, net.mul(net.op("Exp", wh), strides.T[None]), rest, axis=2)
    return net.done({"output": (output, (net.batch, CELLS, 5 + classes))})


def yolov10(
    classes: int = 5, rows: int = 30, *, extras: str = "", metadata: dict[str, str] | None = None, seed: int = 0
) -> onnx.ModelProto:
    """YOLOv10 and YOLO26: [N, K, 6], chosen by TopK; ``extras``: ``pose`` or ``segment`` put more behind."""
    net = Net(seed)
    maps = net.features()
    boxes, scores = _yolov8_rows(net, maps, classes)
    middle, size = net.split(boxes, 1, 2, 2)
    half = net.mul(size, 0.5)
    corners = net.op("Concat", net.op("Sub", middle, half), net.op("Add", middle, half), axis=1)
    parts = [corners, *([_keypoint_rows(net, maps, 4, 3)] if extras == "pose" else [])]
    parts += [_flat(net, maps, 6)] if extras == "segment" else []
    more = {"pose": 12, "segment": 6, "": 0}[extras]
    table = net.op("Transpose", net.op("Concat", *parts, axis=1) if more else corners, perm=[0, 2, 1])
    flat = net.op("Reshape", net.op("Transpose", scores, perm=[0, 2, 1]), net.sizes(0, -1))
    score, index = net.op("TopK", flat, net.sizes(rows), count=2, axis=1)
    count = net.value(classes, np.int64)
    kind = net.op("Cast", net.op("Mod", index, count), to=TensorProto.FLOAT)
    anchor = net.op("Unsqueeze", net.op("Div", index, count), net.sizes(2))
    chosen = net.op("GatherND", table, anchor, batch_dims=1)
    box, *rest = net.split(chosen, 2, 4, more) if more else [chosen]
    column = [net.op("Unsqueeze", part, net.sizes(2)) for part in (score, kind)]
    output = net.op("Concat", box, *column, *rest, axis=2)
    outputs = {"output0": (output, (net.batch, rows, 6 + more))}
    if extras == "segment":
        outputs["output1"] = (_prototypes(net, maps, 6), (net.batch, 6, HEIGHT // 4, WIDTH // 4))
    return net.done(outputs, metadata)  # type: ignore[arg-type]


def _queries(net: Net, columns: int) -> tuple[str, str]:
    """Box logits and class logits of all cells, as a decoder gives them for its queries: [N, Q, 4], [N, Q, columns]."""
    maps = net.features()
    box = net.op("Transpose", _flat(net, maps, 4, spread=0.7), perm=[0, 2, 1])
    return box, net.op("Transpose", _flat(net, maps, columns), perm=[0, 2, 1])


def detr(
    columns: int = 6, *, focal: bool = False, names: tuple[str, str] = ("pred_boxes", "logits"),
    metadata: dict[str, str] | None = None, batch: int | str = models.BATCH, seed: int = 0, background: float = 0.0,
) -> onnx.ModelProto:  # fmt: skip
    """DETR: boxes [N, Q, 4], logits [N, Q, columns]; ``focal``: refined through inverse sigmoids as RT-DETR's are."""
    net = Net(seed, batch=batch)
    box, logits = _queries(net, columns)
    if background:
        logits = net.add(logits, [0.0] * (columns - 1) + [background])
    boxes = net.op("Sigmoid", box)
    if focal:
        inverse = net.op("Log", net.op("Div", boxes, net.op("Sub", net.value(1.0), boxes)))
        boxes = net.op("Sigmoid", net.add(inverse, 0.1))
        attention = net.op("Log", net.add(net.op("Exp", logits), 1e-3))
        logits = attention
    shapes = ((batch, CELLS, 4), (batch, CELLS, columns))
    return net.done(dict(zip(names, zip((boxes, logits), shapes, strict=True), strict=True)), metadata)


def rtdetr_ultralytics(classes: int = 7, *, metadata: dict[str, str] | None = None, seed: int = 0) -> onnx.ModelProto:
    """Ultralytics' RT-DETR: [N, Q, 4 + C] of fractions and sigmoids."""
    net = Net(seed)
    box, logits = _queries(net, classes)
    output = net.op("Concat", net.op("Sigmoid", box), net.op("Sigmoid", logits), axis=2)
    return net.done({"output0": (output, (net.batch, CELLS, 4 + classes))}, metadata)


def rtdetr_chosen(classes: int = 5, rows: int = 30, *, metadata: dict[str, str] | None = None) -> onnx.ModelProto:
    """Ultralytics' RT-DETR since 8.4: [N, K, 6] as YOLO26's, but centres and sizes in fractions of the frame."""
    net = Net()
    box, logits = _queries(net, classes)
    score, index = net.op("TopK", net.op("Reshape", net.op("Sigmoid", logits), net.sizes(0, -1)), net.sizes(rows),
                          count=2, axis=1)  # fmt: skip
    count = net.value(classes, np.int64)
    kind = net.op("Cast", net.op("Mod", index, count), to=TensorProto.FLOAT)
    query = net.op("Unsqueeze", net.op("Div", index, count), net.sizes(2))
    chosen = net.op("GatherND", net.op("Sigmoid", box), query, batch_dims=1)
    column = [net.op("Unsqueeze", part, net.sizes(2)) for part in (score, kind)]
    return net.done({"output0": (net.op("Concat", chosen, *column, axis=2), (net.batch, rows, 6))}, metadata)


def ssd(
    columns: int = 4, *, ending: str = "Softmax", fractions: bool = True, background: float = 0.0,
    metadata: dict[str, str] | None = None, seed: int = 0, decoded: bool = True,
) -> onnx.ModelProto:  # fmt: skip
    """SSD and RetinaNet: boxes [N, A, 4] of anchors and offsets, scores [N, A, columns]; ``ending`` "" for logits."""
    net = Net(seed)
    offsets, logits = _queries(net, columns)
    if background:
        logits = net.add(logits, [background] + [0.0] * (columns - 1))
    boxes = offsets
    if decoded:
        grid, strides = cells()
        frame = np.array([WIDTH, HEIGHT], np.float32)
        unit = 1 / frame if fractions else np.ones(2, np.float32)
        move, grow = net.split(offsets, 2, 2, 2)
        side = strides.T[None] * unit
        middle = net.add(net.mul(move, 0.1 * side), ((grid + 0.5) * strides).T[None] * unit)
        half = net.mul(net.op("Exp", net.mul(grow, 0.2)), side)
        boxes = net.op("Concat", net.op("Sub", middle, half), net.op("Add", middle, half), axis=2)
    scores = net.op(ending, logits, **({"axis": 2} if ending == "Softmax" else {})) if ending else logits
    return net.done(
        {"scores": (scores, (net.batch, CELLS, columns)), "boxes": (boxes, (net.batch, CELLS, 4))}, metadata
    )


def torchvision(*, seed: int = 0, batch: int | str = 1, flat: bool = False) -> onnx.ModelProto:
    """torchvision's detectors: boxes [K, 4], labels [K], scores [K] of one picture, after NMS.

    ``flat``: the picture is [3, H, W], of any size: it is resized inside, as torchvision does.
    """
    net = Net(seed, batch=batch, flat=flat)
    maps = net.features(resized=flat)
    boxes, scores = _yolov8_rows(net, maps, 3)
    middle, size = net.split(boxes, 1, 2, 2)
    half = net.mul(size, 0.5)
    corners = net.op("Concat", net.op("Sub", middle, half), net.op("Add", middle, half), axis=1)
    table = net.op("Transpose", corners, perm=[0, 2, 1])
    chosen = net.op("NonMaxSuppression", table, scores, net.value(20, np.int64), net.value(0.4), net.value(0.3))
    frame, kind, anchor = net.split(chosen, 1, 1, 1, 1)
    kept = net.op("GatherND", scores, chosen)
    order = net.op("TopK", kept, net.op("Shape", kept), count=2, axis=0)
    place = net.op("Gather", net.op("Concat", frame, anchor, axis=1), order[1], axis=0)
    labels = net.op("Gather", net.op("Squeeze", kind, net.sizes(1)), order[1], axis=0)
    labels = net.op("Add", labels, net.value(1, np.int64))
    return net.done(
        {
            "boxes": (net.op("GatherND", table, place), ("k", 4)),
            "labels": (labels, ("k",)),
            "scores": (order[0], ("k",)),
        },
        types={"labels": TensorProto.INT64},
    )


def hidden_states(tokens: int = 197, width: int = 64) -> onnx.ModelProto:
    """A transformer's end, [N, tokens, width]: three dimensions and no detector."""
    net = Net()
    flat = net.op("Reshape", net.conv("images", 3, tokens, 8), net.sizes(0, tokens, -1))
    made = net.op("MatMul", flat, net.value(net.chance.normal(size=(HEIGHT * WIDTH // 64, width))))
    return net.done({"last_hidden_state": (made, (net.batch, tokens, width))})


def text_recogniser(steps: int = 40, letters: int = 97) -> onnx.ModelProto:
    """A CTC recogniser's end: [N, steps, letters], each step a softmax."""
    net = Net()
    flat = net.op("Reshape", net.conv("images", 3, steps, 8), net.sizes(0, steps, -1))
    made = net.op("MatMul", flat, net.value(net.chance.normal(size=(HEIGHT * WIDTH // 64, letters))))
    return net.done({"probabilities": (net.op("Softmax", made, axis=2), (net.batch, steps, letters))})
