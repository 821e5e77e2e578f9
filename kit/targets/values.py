"""What is known of hardware that models are generated for: the contents of a target's file, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Device:
    """Facts about a target's hardware, printed by ``kit targets``.

    ``memory_mib`` is what the model's weights and buffers live in, in MiB, by the data sheet: the card's own,
    or all of the board's where it is shared with the CPU. ``power_modes`` stand in the order of ``nvpmodel``'s
    numbers. ``vnni``: whether an x86 CPU multiplies 8-bit integers (AVX512-VNNI, AVX-VNNI) without saturating.
    None: the target leaves it open, as a card leaves open what machine it is put in.
    """

    description: str
    architecture: str
    memory_mib: int | None = None
    memory_shared_with_cpu: bool
    compute_capability: str | None = None
    dla_cores: int
    power_modes: tuple[str, ...] = ()
    cpu_threads: int | None = None
    vnni: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The software that serves there: the pinned Triton image and what is inside it.

    ``jetpack`` is the release that a Jetson must run for the image to see its GPU. ``max_opset`` and
    ``max_ir_version`` are the newest that the image's ONNX Runtime loads.
    """

    image: str
    triton_version: str
    tensorrt_version: str | None = None
    onnxruntime_version: str
    max_opset: int
    max_ir_version: int
    jetpack: str | None = None


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """An ONNX Runtime execution accelerator: ``tensorrt`` or ``cuda`` with its parameters, in order."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Backend:
    """What one Triton backend may do on a target."""

    name: str
    instance_kind: str
    accelerator: Accelerator | None = None


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """Where a target starts before it is tuned.

    ``intra_op_threads`` is per instance; 0 lets ONNX Runtime take one for each core of the machine.
    """

    precision: str
    max_batch_size: int
    instance_count: int
    max_queue_delay_us: int
    intra_op_threads: int


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Where one statement of a target file is from.

    ``keys`` name what it covers, each with all that is below it (``device``, ``device.memory_mib``,
    ``backends.onnxruntime.accelerator``). ``source`` is a URL, or the word ``choice`` for what nobody else
    says and the note gives reasons for. ``date`` is the day it was looked up, ``YYYY-MM-DD``.
    """

    keys: tuple[str, ...]
    source: str
    date: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A kind of hardware that models are generated for: the contents of one TOML file."""

    name: str
    device: Device
    stack: Stack
    backends: tuple[Backend, ...]
    defaults: Defaults
    facts: tuple[Fact, ...]

    def backend(self, name: str) -> Backend | None:
        """Return the backend of that name, or None where it does not work on this target."""
        return next((b for b in self.backends if b.name == name), None)
