"""The values that travel between the stages: frozen, keyword-only, without I/O.

Shapes are full shapes, the batch dimension included; ``-1`` is a dimension of variable size.
Digests are ``sha256`` in lower-case hex.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

DIGEST_PARAMETER = "kit_digest"
"""The parameter with the model file's digest: ``GET /v2/models/<name>/config`` then tells which file is loaded.

Where that file is an engine, it is the digest of the ONNX that the engine is built from.
"""


class DataType(enum.Enum):
    """A tensor's element type, by Triton's name on the wire (``FP32``, ``BYTES`` ...).

    Source: https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md#datatypes
    """

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    BF16 = "BF16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    @property
    def config_name(self) -> str:
        """The name in ``config.pbtxt``: ``TYPE_FP32``; strings are ``TYPE_STRING`` there."""
        return "TYPE_STRING" if self is DataType.BYTES else f"TYPE_{self.value}"

    @property
    def numpy_name(self) -> str:
        """The numpy dtype's name; ``object`` for strings. BF16 has none and raises ``ValueError``."""
        if self is DataType.BF16:
            raise ValueError("numpy has no bfloat16")
        if self is DataType.BYTES:
            return "object"
        return f"float{self.value[2:]}" if self.is_float else self.value.lower()

    @property
    def is_float(self) -> bool:
        """Whether values are rounded, so that they are compared with a tolerance."""
        return self in (DataType.FP16, DataType.BF16, DataType.FP32, DataType.FP64)


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output: its name, element type and full shape."""

    name: str
    dtype: DataType
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a model takes and gives, in its own order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def batched(self) -> bool:
        """Whether every tensor begins with a dimension of variable size, as Triton's batching requires."""
        return all(t.shape and t.shape[0] == -1 for t in (*self.inputs, *self.outputs))


@dataclass(frozen=True, kw_only=True)
class Model:
    """An ONNX graph with its weights inside, serialised, and what is known of it.

    ``path`` is a file in the cache (or the user's own), never changed after it was written.
    ``metadata`` is the graph's ``metadata_props`` (Ultralytics keeps class names there). ``notes`` are what the
    stage that made it wants the user to know, one line each.
    """

    path: Path
    digest: str
    signature: Signature
    metadata: Mapping[str, str] = field(default_factory=dict)
    opset: int
    ir_version: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of a set: its file, the digest of what it holds, and which frame of a video it is (None: an image)."""

    path: Path
    digest: str
    frame: int | None = None


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """How a pixel becomes the network's number: ``(pixel * scale - mean) / std``, per channel.

    ``mean`` and ``std`` are in units of the scaled pixel, as torchvision writes them.
    """

    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What a detector keeps: see ``kit.tasks.detect``."""

    score: float = 0.25
    iou: float = 0.45
    max_detections: int = 100


class Certainty(enum.Enum):
    """How sure it is what a model's outputs mean.

    ``certain``: the graph, its metadata or the user says so. ``likely``: the values fit, and nothing else that the
    kit knows has these. ``unsure``: the shapes fit.
    """

    CERTAIN = "certain"
    LIKELY = "likely"
    UNSURE = "unsure"

    @property
    def doubt(self) -> int:
        """0 for none; more for more: what is surest sorts first."""
        return list(Certainty).index(self)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a detector's outputs are laid out, where its head alone does not say.

    ``outputs`` are the positions of those that are read, in the head's order. ``words`` are the head's variations
    (``softmax``, ``fractions``), as ``--head`` takes them. ``extras`` counts the numbers of each anchor besides box
    and classes: mask coefficients, or ``keypoints`` = (K, 2 or 3 numbers of each). ``frame`` is the height and width
    of what the network takes, in pixels; None where that is free.
    """

    outputs: tuple[int, ...] = (0,)
    words: tuple[str, ...] = ()
    extras: int = 0
    keypoints: tuple[int, int] | None = None
    frame: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a model is served on one target, where that differs from what its spec says for all; None: as there."""

    precision: str | None = None
    runtime: str | None = None
    max_batch_size: int | None = None
    instance_count: int | None = None
    max_queue_delay_us: int | None = None
    intra_op_threads: int | None = None

    @property
    def given(self) -> dict[str, str | int]:
        """What is said, by the field of ``Spec`` that it takes the place of."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What the user asked for: one model, its task and its targets. None means: decide from the model or target.

    ``weights`` is a file for a network that has none of its own, or ``random`` where the source knows that word.
    ``precision`` may be ``auto``: the lowest that holds its budget. That is ``max_drop`` and ``max_class_drop``: points
    of 100 that the metric, and that of any class, may lose. ``metric`` is the user's own, package.module:callable.
    ``per_target`` says for some targets what they are served with instead; ``on`` puts that in its place.
    """

    source: str
    name: str
    targets: tuple[str, ...]
    weights: str | None = None
    task: str | None = None
    contract: str = "served"
    precision: str | None = None
    runtime: str | None = None
    labels: str | None = None
    head: str | None = None
    argmax: bool = False
    normalization: Normalization | None = None
    color: str | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    max_batch_size: int | None = None
    instance_count: int | None = None
    max_queue_delay_us: int | None = None
    intra_op_threads: int | None = None
    calibration: Path | None = None
    calibration_count: int = 500
    validation: Path | None = None
    max_drop: float = 1.0
    max_class_drop: float = 5.0
    metric: str | None = None
    per_target: Mapping[str, Serving] = field(default_factory=dict)

    def on(self, target: str) -> Spec:
        """Return the spec as it holds on a target."""
        said: dict[str, Any] = self.per_target[target].given if target in self.per_target else {}
        return replace(self, **said) if said else self


@dataclass(frozen=True, kw_only=True)
class Interpretation:
    """What a model's outputs were taken to mean, and why: recognised once, used by every later stage.

    ``task`` names a member of ``kit.tasks``; ``head`` is that member's own word for the layout of the
    outputs (``yolov8``: one ``[N, 4 + C, A]``), ``layout`` what the word leaves open. ``certainty`` and ``reason`` are
    shown to the user.
    """

    task: str
    head: str
    contract: str
    class_count: int | None
    normalization: Normalization | None
    color: str
    thresholds: Thresholds | None
    reason: str
    certainty: Certainty = Certainty.LIKELY
    layout: Layout | None = None


@dataclass(frozen=True, kw_only=True)
class Graphs:
    """The model at each step of its conversion; ``reference`` runs the source itself where that is not ONNX.

    ``source_digest`` is that of the source's bytes.
    """

    original: Model
    reference: Callable[[dict[str, Any]], dict[str, Any]] | None
    network: Model
    meaning: Interpretation
    served: Model
    source_digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How one output differs between two runs: over all its elements, worst case.

    ``maximum`` is the largest absolute difference; ``relative`` is that divided by the largest absolute
    value of the reference; ``cosine`` is the least cosine similarity of a batch element.
    """

    output: str
    batch: int
    nan: int
    maximum: float
    relative: float
    cosine: float


@dataclass(frozen=True, kw_only=True)
class Parity:
    """A stage's answers held against those before it."""

    stage: str
    inputs: str
    tolerance: float
    differences: tuple[Difference, ...]


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file as it stands in a version's folder, and where its content is now."""

    filename: str
    path: Path
    digest: str


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The file that Triton loads, and the backend that loads it.

    ``beside`` are files that it needs next to it: the weights of OpenVINO's IR. ``engine`` is the name of what the
    device makes of the file before Triton loads that in its place: TensorRT's engine.
    """

    backend: str
    filename: str
    path: Path
    digest: str
    signature: Signature
    beside: tuple[StoredFile, ...] = ()
    engine: str | None = None

    @property
    def loaded(self) -> str:
        """The name of the file that Triton loads."""
        return self.engine or self.filename

    @property
    def portable(self) -> Artifact:
        """The same as a CPU can serve it: where the device makes an engine, the ONNX that it makes it of."""
        return self if self.engine is None else replace(self, backend="onnxruntime", engine=None)

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """Every file of it, that which Triton loads first."""
        return (StoredFile(filename=self.filename, path=self.path, digest=self.digest), *self.beside)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What the real server was seen to do with a target's configuration.

    ``level`` is ``live`` (loaded and answered with this configuration), ``weights`` (the same model
    answered under another target's configuration), ``offline`` (only read back) or ``none``.
    """

    target: str
    level: str
    server: str | None
    batches: tuple[int, ...] = ()
    tolerance: float = 0.0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class StageTime:
    """How long a stage took, in seconds, and whether its result came from the cache."""

    stage: str
    seconds: float
    cached: bool


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model's folder in a repository, published or staged."""

    name: str
    path: Path
    version: int
    changed: bool
