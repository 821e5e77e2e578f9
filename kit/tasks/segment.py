"""Each pixel's class: ``scores`` [N, C, H, W] FP32 in 0 to 1, or on request ``classes`` [N, H, W].

    scores   FP32   softmax over the classes; sigmoid where there is one channel, or where the network has one
    classes  UINT8  the best class of each pixel; of one channel: 1 where it is above a half.
                    INT32 where there are more than 256 classes, or where the graph does not tell how many

H and W are those of the network's output, which may be smaller than the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit import labels
from kit.tasks import _ending, _metadata
from kit.tasks._ending import Ending
from kit.tasks.interface import Arrays, Head
from kit.types import Certainty, DataType, Interpretation, Layout, Model, Normalization, Thresholds

_WORDS = frozenset({"semantic", "semantic-segmentation", "image-segmentation"})
_SCORES = {DataType.FP32: "float", DataType.FP16: "float16"}
_CLASSES = {
    DataType.INT64: "int64", DataType.INT32: "int32", DataType.INT16: "int16", DataType.INT8: "int8",
    DataType.UINT8: "uint8", DataType.BOOL: "bool",
}  # fmt: skip
_COARSEST = 8
"""Pixels of the frame for one of the output, at most, in height and width; SegFormer has 4, backbones have 16 or 32."""

_MOST_IN_UINT8 = 256
_CHANNELS = (1, 3)


@dataclass(frozen=True, kw_only=True)
class _Map:
    """An output with a value for each pixel; ``channels`` is None where it holds classes."""

    channels: int | None
    channels_last: bool
    coarse: int
    picture_channels: int


class Segment:
    """One output of scores or classes for each pixel; torchvision's second one, for training, is left out."""

    name = "segment"
    rank = 15
    frames = True
    # torchvision's: https://docs.pytorch.org/vision/stable/models.html#semantic-segmentation
    normalization = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    labelled = None
    inner = ()

    def recognise(self, model: Model) -> Head | None:
        """A first output whose height and width are in proportion to the picture's; others must be of its shape."""
        pixels = _pixel_map(model)
        if pixels is None:
            return None
        found = _ending.of(model)
        words = ("nhwc",) if pixels.channels_last else ()
        ignored = _ignored(model)
        if pixels.channels is None:
            count = _count(model, found)
            head, certainty = "classes", Certainty.CERTAIN if found.ending is Ending.ARGMAX else Certainty.UNSURE
        else:
            head = "probabilities" if found.ending in (Ending.SOFTMAX, Ending.SIGMOID) else "logits"
            count = max(pixels.channels, 2)
            certainty = _judge(model, pixels, found.ending)
        return Head(
            name=head,
            class_count=count,
            reason=f"{_seen(model, pixels)} ({found.phrase}){ignored}",
            certainty=certainty,
            layout=Layout(words=words),
            argmax=True,
            normalization=_metadata.normalization(model),
        )

    def expects(self) -> str:
        """One output of the picture's proportions."""
        return "one output [N, classes, H, W], [N, H, W, classes] or [N, H, W] in proportion to the picture"

    def head_graph(self, model: Model, meaning: Interpretation) -> str:
        """Softmax or sigmoid, or the best class of each pixel; channels first."""
        (tensor, *_), channels = model.signature.outputs, _channels(model, meaning)
        element = (_CLASSES | _SCORES)[tensor.dtype]
        taken = _dims(tensor.shape, ("batch", "d1", "d2", "d3"))
        height, width = _size(tensor.shape, meaning)
        if _gives_classes(meaning):
            given = f"{'uint8' if _fits_uint8(meaning) else 'int32'}[batch, {height}, {width}] classes"
            steps = _class_steps(tensor.shape, meaning, channels)
        else:
            given = f"float[batch, {channels}, {height}, {width}] scores"
            activation = "Identity" if meaning.head == "probabilities" else "Sigmoid" if channels == 1 else "Softmax"
            axis = " <axis = 1>" if activation == "Softmax" else ""
            steps = f"{_planes(meaning)} scores = {activation}{axis} (planes)"
        return f"""
            <ir_version: {model.ir_version}, opset_import: ["": {model.opset}]>
            segment ({element}[{taken}] raw) => ({given}) {{ {steps} }}
        """

    def reference(self, raw: Arrays, meaning: Interpretation) -> Arrays:
        """Do the same in float64, one plane after the other."""
        import numpy as np

        value, last = next(iter(raw.values())), _says(meaning, "nhwc")
        small = np.uint8 if _fits_uint8(meaning) else np.int32
        if meaning.head == "classes":
            flat = value.reshape(len(value), *(value.shape[1:3] if last else value.shape[-2:]))
            return {"classes": flat.astype(small)}
        planes = (np.moveaxis(value, 3, 1) if last else value).astype(np.float64)
        if _gives_classes(meaning):
            middle = 0.5 if meaning.head == "probabilities" else 0.0
            best = planes.argmax(axis=1) if planes.shape[1] > 1 else planes[:, 0] > middle
            return {"classes": best.astype(small)}
        if meaning.head == "probabilities":
            return {"scores": planes.astype(np.float32)}
        if planes.shape[1] == 1:
            return {"scores": (0.5 * (1 + np.tanh(0.5 * planes))).astype(np.float32)}
        powers = np.exp(planes - planes.max(axis=1, keepdims=True))
        return {"scores": (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)}

    def thresholds(self, asked: Thresholds) -> None:  # noqa: ARG002
        """There are none."""
        return


def _says(meaning: Interpretation, word: str) -> bool:
    return meaning.layout is not None and word in meaning.layout.words


def _gives_classes(meaning: Interpretation) -> bool:
    return meaning.head == "classes" or _says(meaning, "argmax")


def _fits_uint8(meaning: Interpretation) -> bool:
    return meaning.class_count is not None and meaning.class_count <= _MOST_IN_UINT8


def _pixel_map(model: Model) -> _Map | None:
    """Return the form of the first output where it is in proportion to the picture; None where it is not."""
    inputs, outputs = model.signature.inputs, model.signature.outputs
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or not outputs:
        return None
    (_, *taken), first = inputs[0].shape, outputs[0]
    picture_last = taken[0] not in _CHANNELS
    height, width, colours = taken if picture_last else (*taken[1:], taken[0])
    if any((o.shape, o.dtype) != (first.shape, first.dtype) for o in outputs[1:]):
        return None
    for last in (picture_last, not picture_last):
        sizes, channels = _split(first.shape, last=last, scores=first.dtype in _SCORES)
        coarse = _coarse((height, width), sizes) if sizes else None
        if coarse is None or channels == -1:
            continue
        if first.dtype in _SCORES and channels is not None:
            return _Map(channels=channels, channels_last=last, coarse=coarse, picture_channels=colours)
        if first.dtype in _CLASSES and channels in (None, 1):
            return _Map(channels=None, channels_last=last, coarse=coarse, picture_channels=colours)
    return None


def _split(shape: tuple[int, ...], *, last: bool, scores: bool) -> tuple[tuple[int, int] | None, int | None]:
    """Return an output's height and width, and its channels; None for what it has not."""
    if len(shape) == 3 and not scores:
        return (shape[1], shape[2]), None
    if len(shape) != 4:
        return None, None
    _, a, b, c = shape
    return ((a, b), c) if last else ((b, c), a)


def _coarse(picture: tuple[int, int], sizes: tuple[int, int]) -> int | None:
    """Return how many pixels of the picture one of the output stands for, in each direction; None for no whole number.

    Where sizes are free, in the picture and in the output, it is taken for 1.
    """
    if -1 in picture:
        return 1 if all(s == -1 for s in sizes) else None
    if min(sizes) < 2 or any(p % s for p, s in zip(picture, sizes, strict=True)):
        return None
    height, width = (p // s for p, s in zip(picture, sizes, strict=True))
    return height if height == width and height <= _COARSEST else None


def _judge(model: Model, pixels: _Map, ending: Ending) -> Certainty:
    """Say how sure it is that scores of pixels are those of classes: pictures, depths and heat maps look the same."""
    assert pixels.channels is not None
    if labels.from_metadata(model.metadata, pixels.channels) or model.metadata.get("task") in _WORDS:
        return Certainty.CERTAIN
    if ending is Ending.SOFTMAX and pixels.channels > 1:
        return Certainty.CERTAIN
    picture_like = pixels.channels == pixels.picture_channels and pixels.channels > 1
    if pixels.coarse > 1 or picture_like:
        return Certainty.UNSURE
    if pixels.channels == 1:
        return Certainty.LIKELY if ending is Ending.SIGMOID else Certainty.UNSURE
    return Certainty.LIKELY


def _count(model: Model, found: _ending.Found) -> int | None:
    """Return how many classes an argmax chooses from, by the shape of what it takes."""
    import onnx

    if found.ending is not Ending.ARGMAX:
        return None
    graph = onnx.shape_inference.infer_shapes(onnx.load(str(model.path), load_external_data=False)).graph
    for value in (*graph.value_info, *graph.input):
        if value.name == found.tensor:
            size = value.type.tensor_type.shape.dim[found.axis or 0].dim_value
            return int(size) or None
    return None


def _seen(model: Model, pixels: _Map) -> str:
    sizes = "H, W" if pixels.coarse == 1 else f"H/{pixels.coarse}, W/{pixels.coarse}"
    if pixels.channels is None:
        return f"one output [N, {sizes}] of classes"
    shape = f"{sizes}, {pixels.channels}" if pixels.channels_last else f"{pixels.channels}, {sizes}"
    return f"{'one' if len(model.signature.outputs) == 1 else 'an'} output [N, {shape}] of scores"


def _ignored(model: Model) -> str:
    others = [t.name for t in model.signature.outputs[1:]]
    return f", {' and '.join(others)} left out" if others else ""


def _size(shape: tuple[int, ...], meaning: Interpretation) -> tuple[str, str]:
    """Return height and width as the text of a graph has them."""
    last = _says(meaning, "nhwc") and len(shape) == 4
    sizes = shape[1:3] if last else shape[-2:]
    height, width = ("height" if sizes[0] == -1 else str(sizes[0])), ("width" if sizes[1] == -1 else str(sizes[1]))
    return height, width


def _channels(model: Model, meaning: Interpretation) -> int:
    shape = model.signature.outputs[0].shape
    if len(shape) == 3:
        return 1
    return shape[3] if _says(meaning, "nhwc") else shape[1]


def _dims(shape: tuple[int, ...], names: tuple[str, ...]) -> str:
    sizes = ("batch", *(name if size == -1 else str(size) for name, size in zip(names[1:], shape[1:], strict=False)))
    return ", ".join(sizes)


def _planes(meaning: Interpretation) -> str:
    """Return the steps from ``raw`` to ``planes``, FP32 and channels first."""
    last = _says(meaning, "nhwc")
    move = "Transpose <perm = [0, 3, 1, 2]> (floats)" if last else "Identity (floats)"
    return f"floats = Cast <to = 1> (raw)\n planes = {move}\n"


def _class_steps(shape: tuple[int, ...], meaning: Interpretation, channels: int) -> str:
    """Return the steps from ``raw`` to ``classes``: the first of equally good ones, as numpy has it."""
    narrow = f"classes = Cast <to = {2 if _fits_uint8(meaning) else 6}> (best)"
    if meaning.head == "classes":
        axis = 3 if _says(meaning, "nhwc") else 1
        squeeze = f"axis = Constant <value = int64[1] {{{axis}}}> ()\n best = Squeeze (raw, axis)"
        return f"{squeeze if len(shape) == 4 else 'best = Identity (raw)'}\n {narrow}"
    if channels > 1:
        return f"{_planes(meaning)} best = ArgMax <axis = 1, keepdims = 0> (planes)\n {narrow}"
    middle = 0.5 if meaning.head == "probabilities" else 0.0
    return f"""{_planes(meaning)}
        middle = Constant <value = float {{{middle}}}> ()
        axis = Constant <value = int64[1] {{1}}> ()
        plane = Squeeze (planes, axis)
        best = Greater (plane, middle)
        {narrow}
    """


MEMBER = Segment()
