"""``manifest.json``: what a published model is, from what, with what tools, and what was seen of it.

The same inputs and tools give the same bytes on every machine: measured times are in the report beside
the repository, and measured differences are rounded up to the next power of ten.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from kit.errors import BadRepositoryError
from kit.types import Interpretation, Parity, Signature, Verification

FILE_NAME = "manifest.json"
FORMAT = "triton-edge-kit/1"

_SMALLEST_RELATIVE = 1e-5
_SMALLEST_ABSOLUTE = 1e-3
"""Below them, processors differ from each other by more than the figure says: pixels and probabilities in FP32."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the model came from. ``sha256`` is the source file's, or that of the ONNX exported from it."""

    kind: str
    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class OutputParity:
    """Upper bounds of the differences of one output over all batches compared, rounded up to powers of ten."""

    output: str
    batches: tuple[int, ...]
    nan: int
    maximum_below: float
    relative_below: float
    cosine_above: float


@dataclass(frozen=True, kw_only=True)
class StageParity:
    """What a stage was compared on and how far its outputs were from those before."""

    stage: str
    inputs: str
    tolerance: float
    outputs: tuple[OutputParity, ...]


@dataclass(frozen=True, kw_only=True)
class AccuracyRecord:
    """What a lower precision was held to: ``metric`` before and after, 0 to 1, on so many images.

    ``agreement``: with the model in the precision of its training, not with labels. ``low`` and ``high`` bound what
    was lost with 95 % confidence. ``method`` and ``reverted`` modules say how it was made. Rounded to four digits.
    """

    metric: str
    agreement: bool
    images: int
    before: float
    after: float
    low: float
    high: float
    method: str
    reverted: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TargetRecord:
    """A target's configuration, the facts that it was made from, and what was verified of it."""

    config: str
    backend: str
    precision: str
    facts: Mapping[str, object]
    verification: Verification
    accuracy: AccuracyRecord | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of ``manifest.json``."""

    format: str = FORMAT
    name: str
    version: int
    kit: str
    source: Origin
    tools: Mapping[str, str]
    interpretation: Interpretation
    signature: Signature
    labels: int
    parity: tuple[StageParity, ...]
    targets: Mapping[str, TargetRecord]
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def text(manifest: Manifest) -> str:
    """Return the file's text: keys in the order of the classes, two spaces, one newline at the end."""
    return json.dumps(msgspec.to_builtins(manifest, enc_hook=str), indent=2, ensure_ascii=False) + "\n"


def with_evidence(draft: Manifest, parity: tuple[StageParity, ...], seen: Mapping[str, Verification]) -> Manifest:
    """Return the manifest with what was compared, and what was verified of each target."""
    records = {name: replace(r, verification=seen.get(name, r.verification)) for name, r in draft.targets.items()}
    return replace(draft, parity=parity, targets=records)


def read(folder: Path) -> Manifest | None:
    """Return a published model's manifest, or None where the folder has none of ours.

    Raises ``BadRepositoryError`` where it is ours and cannot be read.
    """
    path = folder / FILE_NAME
    try:
        content = path.read_bytes()
        if not str(json.loads(content).get("format", "")).startswith("triton-edge-kit/"):
            return None
    except (OSError, ValueError, AttributeError):
        return None
    try:
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.ValidationError as error:
        raise BadRepositoryError(
            f"{path} was written by another version of the kit ({error}); choose another --output, or delete the "
            f"folder {folder}"
        ) from error


def summarize(parities: Iterable[Parity]) -> tuple[StageParity, ...]:
    """Return the parities as the manifest has them."""
    return tuple(
        StageParity(
            stage=parity.stage,
            inputs=parity.inputs,
            tolerance=parity.tolerance,
            outputs=tuple(_output(parity, name) for name in dict.fromkeys(d.output for d in parity.differences)),
        )
        for parity in parities
    )


def _output(parity: Parity, name: str) -> OutputParity:
    own = [d for d in parity.differences if d.output == name]
    return OutputParity(
        output=name,
        batches=tuple(d.batch for d in own),
        nan=sum(d.nan for d in own),
        maximum_below=_round_up(max(d.maximum for d in own), _SMALLEST_ABSOLUTE),
        relative_below=_round_up(max(d.relative for d in own), _SMALLEST_RELATIVE),
        cosine_above=1 - _round_up(1 - min(d.cosine for d in own), _SMALLEST_RELATIVE),
    )


def _round_up(value: float, least: float) -> float:
    """Return the next power of ten that is not below ``value`` or ``least``."""
    wanted = max(value, least)
    exponent = math.ceil(round(math.log10(wanted), 9))  # log10 itself is off by a bit
    bound = float(f"1e{exponent}")
    return bound if bound >= wanted else float(f"1e{exponent + 1}")
