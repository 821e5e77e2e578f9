"""The served contract: UINT8 frames in, task outputs out, so that a client sends what a camera gives.

``interpret`` decides once what the model's input and outputs mean; ``fuse`` puts the decision into the graph.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit import dialect, heads, inputs, normalization, tasks
from kit.errors import AmbiguousModelError, UnsupportedModelError, UsageError
from kit.tasks.interface import Head, Headed, Task
from kit.types import Certainty, DataType, Interpretation, Layout, Model, Normalization, Spec, Tensor

if TYPE_CHECKING:
    import onnx

_LEAST_OPSET = 13
"""The text of our graphs is valid from here on (axes of Unsqueeze and Split as inputs)."""

_CHANNELS = (1, 3)
_ELEMENT = {DataType.FP32: 1, DataType.FP16: 10}


def require_known(spec: Spec) -> None:
    """Refuse a task or a head that nobody knows, before any work. Raises ``UnknownTaskError``, ``UnknownHeadError``."""
    if spec.task is not None:
        tasks.get(spec.task)
    if spec.head is not None:
        heads.parse(spec.head)


def interpret(spec: Spec, model: Model) -> Interpretation:
    """Return what the model's tensors mean: as the spec says, else as the task that is surest of them.

    Raises ``UnknownTaskError``, ``UnknownHeadError``, ``UnsupportedModelError`` where what was asked for does not fit,
    or ``AmbiguousModelError`` where several readings fit that answer differently.
    """
    served, image = spec.contract == "served", image_input(model)
    fitting: list[tuple[Task, Head]] = []
    reasons = []
    for task in _candidates(spec):
        head = _recognise(task, model, spec.head)
        if head is None:
            reasons.append(f"{task.name} takes {task.expects()}, this model gives {_outputs(model)}")
        elif task.frames and served and image is None:
            reasons.append(f"{task.name} needs one image input [N, 3, H, W], this model takes {_inputs(model)}")
        else:
            fitting.append((task, head))
    if not fitting:
        raise UnsupportedModelError(_unfit(spec, model, reasons))
    task, head = _surest(spec, fitting)
    return _interpretation(spec, task, head, model)


def _unfit(spec: Spec, model: Model, reasons: list[str]) -> str:
    if spec.head is not None and image_input(model) is not None:
        return (
            f"--head {spec.head} has {heads.expects(spec.head)}, this model gives {_outputs(model)}; leave --head out "
            "to have it recognised, or give --task raw to serve it as it is"
        )
    named = "give --head where you know its layout; " if spec.task in _headed() else ""
    return f"{'; '.join(reasons)}; {named}--task raw serves it as it is"


def _headed() -> tuple[str, ...]:
    return tuple(task.name for task in tasks.every() if isinstance(task, Headed))


def _candidates(spec: Spec) -> tuple[Task, ...]:
    """Return the tasks that are asked; those with heads where a head is named. Raises ``UsageError``."""
    candidates = (tasks.get(spec.task),) if spec.task else tasks.every()
    if spec.head is None:
        return candidates
    headed = tuple(task for task in candidates if isinstance(task, Headed))
    if not headed:
        raise UsageError(f"--head {spec.head}: task {spec.task} has no heads to choose from; leave --head out")
    return headed


def _recognise(task: Task, model: Model, head: str | None) -> Head | None:
    return task.recognise_as(model, head) if head is not None and isinstance(task, Headed) else task.recognise(model)


def _ambiguous(task: Task, head: Head) -> str:
    choices = " or ".join(f"--head {rival}" for rival in head.rivals)
    return (
        f"{task.name}: {head.reason}; nothing in the file tells which reading is right, and they answer differently: "
        f"give {choices}, or --contract native to serve the outputs as they are"
    )


def _surest(spec: Spec, fitting: list[tuple[Task, Head]]) -> tuple[Task, Head]:
    """Return the surest reading; nothing is served on a guess, unless the user made it.

    Raises ``AmbiguousModelError`` where several readings fit that answer differently.
    """
    task, head = min(fitting, key=lambda found: (found[1].certainty.doubt, found[0].rank))
    if spec.contract != "served":
        return task, head
    if head.rivals:
        raise AmbiguousModelError(_ambiguous(task, head))
    guesses = [(t, h) for t, h in fitting if t.frames and h.certainty is Certainty.UNSURE]
    if spec.task or spec.head or head.certainty is not Certainty.UNSURE or not guesses:
        return task, head
    last, whole = fitting[-1]
    if len(guesses) == 1:
        ((guess, read),) = guesses
        return last, replace(
            whole, reason=f"nothing tells what the outputs are; --task {guess.name} takes {read.reason}"
        )
    choices = ", or ".join(f"--task {t.name} for {h.reason}" for t, h in guesses)
    raise AmbiguousModelError(
        f"nothing in the file tells what the outputs are, and a guess may spoil them: give {choices}, or --task "
        f"{last.name} to serve them as they are"
    )


def _layout(spec: Spec, head: Head) -> Layout | None:
    """Return the head's layout, with the class of each pixel where that was asked for. Raises ``UsageError``."""
    if not spec.argmax:
        return head.layout
    if not head.argmax:
        raise UsageError("--argmax gives the class of each pixel, and this model has no scores of pixels; leave it out")
    layout = head.layout or Layout()
    return replace(layout, words=(*layout.words, "argmax"))


def _interpretation(spec: Spec, task: Task, head: Head, model: Model) -> Interpretation:
    image = image_input(model)
    served = task.frames and spec.contract == "served"
    return Interpretation(
        task=task.name,
        head=head.name,
        contract="served" if served else "native",
        class_count=None if head.rivals else head.class_count,
        normalization=_normalization(spec, task, head, model) if served and _takes_floats(image) else None,
        color=spec.color or head.color,
        thresholds=task.thresholds(spec.thresholds) if served else None,
        reason=head.reason,
        certainty=Certainty.CERTAIN if spec.task and not isinstance(task, Headed) else head.certainty,
        layout=_layout(spec, head),
    )


def image_input(model: Model) -> Tensor | None:
    """Return the model's only input where it is a picture: NCHW or NHWC with 1 or 3 channels; else None.

    One picture without a batch, [3, H, W], is returned as [1, 3, H, W]: see ``kit.inputs.one_picture``.
    """
    if len(model.signature.inputs) != 1:
        return None
    tensor = inputs.one_picture(model.signature) or model.signature.inputs[0]
    if len(tensor.shape) != 4 or (tensor.shape[1] not in _CHANNELS and tensor.shape[3] not in _CHANNELS):
        return None
    if tensor.dtype is DataType.UINT8:
        return tensor if tensor.shape[3] in _CHANNELS else None
    return tensor if tensor.dtype in _ELEMENT else None


def channels_first(image: Tensor) -> bool:
    """Tell whether an image input is NCHW."""
    return image.shape[1] in _CHANNELS


def fuse(model: Model, meaning: Interpretation, folder: Path) -> Model:
    """Write the model with its pre- and post-processing inside into ``folder``; the model itself where native.

    Raises ``UnsupportedModelError`` where the operators are too old and cannot be raised.
    """
    import onnx

    import kit.graph

    if meaning.contract == "native":
        return kit.graph.unchanged(model, folder)

    why = f"is older than {_LEAST_OPSET}"
    proto = dialect.raised(onnx.load(str(model.path)), _LEAST_OPSET, why, ", or serve it with --contract native")
    current = Model(
        path=model.path, digest=model.digest, signature=model.signature, metadata=model.metadata,
        opset=kit.graph.opset(proto), ir_version=proto.ir_version,
    )  # fmt: skip
    weights = kit.graph.set_aside(proto)
    try:
        network = kit.graph.with_prefix(proto, "network/")
        network = _prepend(network, current, meaning)
        network = _append(network, current, meaning, tasks.get(meaning.task))
        network.graph.name = meaning.task
        network.producer_name, network.producer_version = "triton-edge-kit", ""
        kit.graph.strip(network)
        kit.graph.bring_back(network, weights, "network/")
        return kit.graph.save(network, folder / "model.onnx", "the served graph", checked=True)
    except (ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = kit.graph.one_line(error)[:200]
        message = f"the served contract cannot be put around the model ({reason}); try --contract native"
        raise UnsupportedModelError(message) from error


def _prepend(network: onnx.ModelProto, model: Model, meaning: Interpretation) -> onnx.ModelProto:
    """Put normalisation and layout in front, or only restore the input's name where it takes frames already."""
    import onnx.compose

    image = image_input(model)
    assert image is not None
    frames = onnx.parser.parse_model(_frames_graph(model, image, meaning))
    frames = onnx.compose.add_prefix(frames, "frames/", rename_inputs=False)
    frames.graph.input[0].name = image.name
    for node in frames.graph.node:
        node.input[:] = [image.name if name == "frame" else name for name in node.input]
    return onnx.compose.merge_models(frames, network, io_map=[("frames/pixels", f"network/{image.name}")])


def _frames_graph(model: Model, image: Tensor, meaning: Interpretation) -> str:
    """Return ``frame`` [N, H, W, C] uint8 -> ``pixels`` as the network takes them, as text."""
    batch, *rest = image.shape
    height, width, channels = (rest[1], rest[2], rest[0]) if channels_first(image) else rest
    frame = _dims(batch, height, width, channels)
    pixels = _dims(*image.shape) if not channels_first(image) else _dims(batch, channels, height, width)
    flat = len(model.signature.inputs[0].shape) == 3
    steps, last = [], "frame"
    if meaning.color == "bgr" and channels == 3:
        steps += ["reverse = Constant <value = int64[3] {2, 1, 0}> ()", f"bgr = Gather <axis = 3> ({last}, reverse)"]
        last = "bgr"
    if channels_first(image):
        steps, last = [*steps, f"planes = Transpose <perm = [0, 3, 1, 2]> ({last})"], "planes"
    if meaning.normalization is not None:
        more, last = _normalize(meaning.normalization, channels, channels_first(image), last)
        steps += more
    if image.dtype is DataType.UINT8:
        element = "uint8"
    else:
        element = "float" if image.dtype is DataType.FP32 else "float16"
        steps, last = [*steps, f"typed = Cast <to = {_ELEMENT[image.dtype]}> ({last})"], "typed"
    if flat:
        steps += ["no_batch = Constant <value = int64[1] {0}> ()", f"picture = Squeeze ({last}, no_batch)"]
        pixels, last = pixels.partition(", ")[2], "picture"
    body = "\n".join([*steps, f"pixels = Identity ({last})"])
    return f"""
        <ir_version: {model.ir_version}, opset_import: ["": {model.opset}]>
        frames (uint8[{frame}] frame) => ({element}[{pixels}] pixels) {{ {body} }}
    """


def _normalize(normal: Normalization, channels: int, first: bool, last: str) -> tuple[list[str], str]:
    """Return the steps of ``pixel * (scale / std) - mean / std`` in FP32 and the name of their result."""
    mean, std = _per_channel(normal.mean, channels), _per_channel(normal.std, channels)
    factors = [normal.scale / s for s in std]
    offsets = [-m / s for m, s in zip(mean, std, strict=True)]
    steps = [
        f"floats = Cast <to = 1> ({last})",
        f"factor = Constant <value = {_constant(factors, first)}> ()",
        "scaled = Mul (floats, factor)",
    ]
    if not any(offsets):
        return steps, "scaled"
    return [*steps, f"offset = Constant <value = {_constant(offsets, first)}> ()", "shifted = Add (scaled, offset)"], (
        "shifted"
    )


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) in (1, channels):
        return values * channels if len(values) == 1 else values
    if len(set(values)) == 1:
        return values[:1] * channels
    raise UnsupportedModelError(f"mean and std have {len(values)} values, the model's input has {channels} channels")


def _constant(values: list[float], first: bool) -> str:
    """Return a tensor in ONNX's text form: a scalar where all channels agree."""
    if len(set(values)) == 1:
        return f"float {{{values[0]!r}}}"
    shape = f"1, {len(values)}, 1, 1" if first else f"1, 1, 1, {len(values)}"
    return f"float[{shape}] {{{', '.join(repr(v) for v in values)}}}"


def _dims(*shape: int) -> str:
    names = ("batch", "d1", "d2", "d3")
    return ", ".join(name if size == -1 else str(size) for name, size in zip(names, shape, strict=True))


def _append(network: onnx.ModelProto, model: Model, meaning: Interpretation, task: Task) -> onnx.ModelProto:
    import onnx.compose

    text = task.head_graph(model, meaning)
    if text is None:
        return network
    outputs = model.signature.outputs
    if meaning.layout is not None:
        outputs = tuple(outputs[index] for index in meaning.layout.outputs)
    if (batch := (*outputs[0].shape, -1)[0]) != -1:
        text = text.replace("[batch,", f"[{batch},")
    head = onnx.parser.parse_model(text)
    taken = [value.name for value in head.graph.input]
    head = onnx.compose.add_prefix(head, f"{task.name}/", rename_outputs=False)
    links = [(f"network/{o.name}", f"{task.name}/{name}") for o, name in zip(outputs, taken, strict=True)]
    kept = [value.name for value in head.graph.output]  # what only outputs that are left out need goes with them
    return onnx.compose.merge_models(network, head, io_map=links, outputs=kept)


def _normalization(spec: Spec, task: Task, head: Head, model: Model) -> Normalization:
    """Return what was asked for, else the model's, the head's or the task's; grey has no use for three means."""
    image = image_input(model)
    assert image is not None
    channels = image.shape[1] if channels_first(image) else image.shape[3]
    usual = head.normalization or task.normalization
    fits = channels == len(usual.mean)
    told = spec.normalization or normalization.of_metadata(model)
    return told or (usual if fits else Normalization(scale=usual.scale, mean=(0.0,), std=(1.0,)))


def _takes_floats(image: Tensor | None) -> bool:
    return image is not None and image.dtype is not DataType.UINT8


def _inputs(model: Model) -> str:
    return ", ".join(f"{t.name} {t.dtype.value}{list(t.shape)}" for t in model.signature.inputs) or "nothing"


def _outputs(model: Model) -> str:
    return ", ".join(f"{t.name} {t.dtype.value}{list(t.shape)}" for t in model.signature.outputs)
