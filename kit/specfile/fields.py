"""Every key of a spec file in one table: reading, the JSON schema, ``kit init`` and the messages derive from it.

A new key is a new line here. ``attribute`` is the field of ``kit.types.Spec``, ``kit.types.Thresholds`` or
``kit.planning.Options`` that it sets, which is also the parameter of ``kit generate`` that overrides it.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit import precision, runtimes, tasks
from kit.specfile.kinds import Flag, Kind, Listed, Number, PerChannel, Shape, Text, Whole, Word
from kit.specfile.per_target import PerTarget
from kit.specfile.references import HeadLayout, Labels, Origin, PathTo, TargetName, Weights


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key. ``help`` describes it; ``default`` says what holds without it, where that is no value of the key.

    ``example`` is what ``kit init`` writes for it, as YAML. ``shared`` keys may stand under ``defaults``. ``also``
    are words that people use for it, and that are answered with this one.
    """

    name: str
    kind: Kind
    help: str
    default: str
    example: str
    attribute: str = ""
    shared: bool = True
    required: bool = False
    also: tuple[str, ...] = ()

    @property
    def sets(self) -> str:
        """The attribute that it sets."""
        return self.attribute or self.name


@dataclass(frozen=True, kw_only=True)
class Group:
    """A key with keys below it."""

    name: str
    help: str
    keys: tuple[Key, ...]
    shared: bool = True
    required: bool = False
    also: tuple[str, ...] = ()


THRESHOLDS = (
    Key(name="score", kind=Number(least=0, most=1, without_most=True), help="Detections below are dropped.",
        default="0.25", example="0.25", also=("score_threshold", "confidence", "conf")),
    Key(name="iou", kind=Number(least=0, most=1, without_least=True),
        help="NMS: boxes of one class that overlap more are one.", default="0.45", example="0.45",
        also=("iou_threshold", "nms")),
    Key(name="max_detections", kind=Whole(least=1, most=10_000), help="Rows of the detector's outputs.",
        default="100", example="100", also=("max_det", "top_k")),
)  # fmt: skip

KIND = (
    Key(name="precision", kind=Word(what="precision", choices=precision.words), default="the target's", example="fp32",
        help="Of weights and activations; auto: the lowest that holds its budget.", also=("dtype", "quantization")),
    Key(name="runtime", kind=Word(what="runtime", choices=runtimes.names), default="the target's first",
        example="onnxruntime", help="Triton's backend that runs the model.", also=("backend", "engine", "platform")),
)  # fmt: skip

BATCHING = (
    Key(name="max_batch_size", kind=Whole(least=0, most=1024), default="the target's", example="4",
        help="Largest batch.", also=("batch", "batch_size", "max_batch")),
    Key(name="instances", kind=Whole(least=1, most=1024), attribute="instance_count", default="the target's",
        example="1", help="Copies of the model that work at the same time.",
        also=("instance_count", "copies", "count", "instance_group")),
    Key(name="queue_delay_us", kind=Whole(least=0, most=60_000_000), attribute="max_queue_delay_us",
        default="the target's", example="0", help="How long a batch may wait to fill, in microseconds.",
        also=("queue_delay", "max_queue_delay_us", "max_queue_delay_microseconds")),
    Key(name="threads", kind=Whole(least=0, most=1024), attribute="intra_op_threads", default="the target's",
        example="1", help="CPU threads per instance, 0 for one for each core.",
        also=("intra_op_threads", "cpu_threads", "intra_op_thread_count")),
)  # fmt: skip

MODEL: tuple[Key | Group, ...] = (
    Key(name="source", kind=Origin(), shared=False, required=True, default="required", example="model.onnx",
        help="The model: a path relative to this file, or what else kit generate takes.",
        also=("model", "file", "path", "onnx")),
    Key(name="name", kind=Text(expects="a name"), shared=False, default="the file's", example="model",
        help="The model's name in Triton, and of its folder.", also=("model_name", "id")),
    Key(name="targets", kind=Listed(of=TargetName()), default="x86-cpu", example="[x86-cpu]",
        help="Hardware to make a configuration for; the first is the default: kit targets.",
        also=("target", "hardware", "device", "devices")),
    Key(name="task", kind=Word(what="task", choices=tasks.names), default="recognised from the model", example="detect",
        help="What the outputs mean.", also=("type", "kind")),
    Key(name="head", kind=HeadLayout(), default="recognised from the model", example="yolov8",
        help="A detector's layout of outputs, with its variations: detr,softmax.",
        also=("layout", "decoder", "format")),
    Key(name="contract", kind=Word(what="contract", choices=lambda: ("served", "native")), default="served",
        example="served",
        help="served: UINT8 frames in, detections or probabilities out. native: the model's own tensors."),
    *KIND,
    Key(name="labels", kind=Labels(), default="the model's own", example="labels.txt",
        help="Class names: a file with one a line, or a set that everybody knows.",
        also=("classes", "names", "label_file")),
    Group(name="thresholds", help="What a detector keeps.", keys=THRESHOLDS,
          also=("threshold", *(word for key in THRESHOLDS for word in (key.name, *key.also)))),
    Key(name="argmax", kind=Flag(), default="false", example="false",
        help="Segmentation: serve each pixel's class, not the scores of all."),
    Key(name="mean", kind=PerChannel(), default="the task's", example="[0.485, 0.456, 0.406]",
        help="Normalisation: (pixel / 255 - mean) / std.", also=("normalization", "normalisation")),
    Key(name="std", kind=PerChannel(least_size=1e-6), default="the task's", example="[0.229, 0.224, 0.225]",
        help="See mean.", also=("scale",)),
    Key(name="color", kind=Word(what="color", choices=lambda: ("rgb", "bgr")), default="rgb; of YOLOX bgr",
        example="rgb", help="Channel order that the network was trained on; clients always send RGB.",
        also=("colour", "color_order", "channels")),
    *BATCHING,
    Key(name="per_target", kind=PerTarget(parts=(*KIND, *BATCHING)), shared=False, default="as for the others",
        example="{x86-cpu: {instances: 1}}", help="What holds for one of the targets instead: kit tune writes it.",
        also=("overrides", "by_target", "target_options")),
    Key(name="calibration", kind=PathTo(what="set of pictures"), default="random inputs", example="images",
        help="Real pictures that INT8 takes its ranges from, and to compare on: a folder, a COCO set, a video.",
        also=("images", "calibration_images", "data")),
    Key(name="calibration_count", kind=Whole(least=32, most=100_000), default="500", example="500",
        help="How many pictures of them are chosen.", also=("calibration_size", "num_calibration_images")),
    Key(name="validation", kind=PathTo(what="set of pictures"), default="those of calibration", example="images",
        help="Pictures held out from calibration, with their labels: what a lower precision is judged on.",
        also=("val", "test", "validation_images")),
    Key(name="max_drop", kind=Number(least=0, most=100), default="1", example="1",
        help="Points of 100 that a lower precision may take from the metric.", also=("budget", "accuracy_drop")),
    Key(name="max_class_drop", kind=Number(least=0, most=100), default="5", example="5",
        help="The same for each class.", also=("class_budget",)),
    Key(name="metric", kind=Text(expects="package.module:callable"), default="the task's", example="mymetrics:score",
        help="A metric of your own: package.module:callable.", also=("score_function",)),
    Key(name="weights", kind=Weights(), default="the model's own", example="random",
        help="Weights for package.module:callable or timm:NAME: .safetensors, .pt or .pth.",
        also=("checkpoint", "state_dict")),
    Key(name="input_shape", kind=Shape(), default="the model's own", example="3x640x640",
        help="What a PyTorch model takes, without the batch.", also=("shape", "imgsz", "input", "input_size", "size")),
    Key(name="verify", kind=Word(what="value for verify", choices=lambda: ("auto", "live", "none")), default="auto",
        example="auto",
        help="auto: ask a real Triton where none has answered with this model. live: in any case. none: never.",
        also=("no_verify", "verification")),
    Key(name="keep", kind=Whole(least=0), default="1", example="1", help="Old versions that stay.",
        also=("versions", "keep_versions")),
)  # fmt: skip

RUN: tuple[Key, ...] = (
    Key(name="output", kind=PathTo(what="made"), default="model_repository", example="model_repository",
        help="The repository's folder, relative to this file.", also=("out", "output_dir", "repository")),
    Key(name="alongside", kind=Flag(), default="false", example="false",
        help="Add to a repository that holds models of other makers."),
    Key(name="target_folders", kind=Listed(of=PathTo(what="folder")), default="the kit's own targets",
        example="[my-targets]", help="Folders of your own target files; they add to the kit's."),
)  # fmt: skip

DEFAULTS = tuple(key for key in MODEL if key.shared)
"""What may stand under ``defaults``, for every model that does not say it itself."""

MOST_MODELS = 1000


def flat(keys: tuple[Key | Group, ...]) -> tuple[Key, ...]:
    """Return the keys with those of groups in the place of their group."""
    return tuple(part for key in keys for part in (key.keys if isinstance(key, Group) else (key,)))
