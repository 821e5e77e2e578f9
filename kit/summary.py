"""What a stage made, in a few words: for a person who watches, one line each."""

from __future__ import annotations

from kit.types import Interpretation, Model, Parity, Spec, Tensor

_KINDS = {"images": "images", "random": "random inputs", "no": "no inputs"}


def meaning(spec: Spec, found: Interpretation) -> str:
    """Say what was recognised, and what was assumed where the model does not tell."""
    text = f"{found.task}: {found.reason}"
    normal = found.normalization
    if normal is None or spec.normalization is not None:
        return text
    if not any(normal.mean):
        return f"{text}; pixels / 255 assumed (--mean, --std)"
    return f"{text}; mean {list(normal.mean)} and std {list(normal.std)} assumed (--mean, --std)"


def signature(model: Model) -> str:
    """Say what a model takes and gives; a dimension of variable size is N."""
    return f"{_tensors(model.signature.inputs)} -> {_tensors(model.signature.outputs)}"


def size(model: Model) -> str:
    """Say how new a model's operators are and how much its file holds."""
    return f"opset {model.opset}, {model.path.stat().st_size / 1e6:.2f} MB"


def parity(found: tuple[Parity, ...]) -> str:
    """Say how far answers were apart at most, and on what."""
    worst = max((d.relative for p in found for d in p.differences), default=0.0)
    sizes = sorted({d.batch for p in found for d in p.differences})
    kind = found[0].inputs if found else "no"
    return f"largest difference {worst:.1g} on {_KINDS.get(kind, kind)} at batch {', '.join(map(str, sizes))}"


def _tensors(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{t.name} {t.dtype.value}[{', '.join(_dimension(d) for d in t.shape)}]" for t in tensors)


def _dimension(size: int) -> str:
    return "N" if size == -1 else str(size)
