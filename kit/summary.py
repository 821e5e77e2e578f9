"""What a stage made, in a few words: for a person who watches, one line each."""

from __future__ import annotations

from kit import normalization
from kit.built import Built
from kit.types import Certainty, Interpretation, Model, Parity, Spec, Tensor

_KINDS = {"images": "images", "random": "random inputs", "no": "no inputs"}


def meaning(spec: Spec, found: Interpretation, model: Model | None = None) -> str:
    """Say what was recognised, how sure that is, and what was assumed where the ``model`` does not tell."""
    sure = "" if found.task == found.head else f" ({found.head}, {found.certainty.value})"
    text = f"{found.task}{sure}: {found.reason}"
    if found.certainty is Certainty.UNSURE and spec.task is None and spec.head is None:
        text += "; if that is wrong, say what they are with --task, or a detector's layout with --head"
    normal = found.normalization
    if normal is None or spec.normalization is not None:
        return text
    if model is not None and normal == normalization.of_metadata(model):
        return f"{text}; mean {list(normal.mean)} and std {list(normal.std)} as the model says"
    if any(normal.mean):
        return f"{text}; mean {list(normal.mean)} and std {list(normal.std)} assumed (--mean, --std)"
    pixels = "pixels / 255" if normal.scale != 1 else "pixels from 0 to 255"
    order = f" in {found.color.upper()}" if spec.color is None and found.color != "rgb" else ""
    return f"{text}; {pixels}{order} assumed (--mean, --std{', --color' if order else ''})"


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


def built(found: Built, title: str) -> str:
    """Say how far a runtime's answers are from the graph's, and from those where it computes in less by itself."""
    text = parity((found.parity,))
    if not found.lowered:
        return text
    return (
        f"{text}; {title} computes FP32 in BF16 on this processor, which no setting of Triton's turns off: "
        f"{found.served:.1%} of the range apart"
    )


def _tensors(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{t.name} {t.dtype.value}[{', '.join(_dimension(d) for d in t.shape)}]" for t in tensors)


def _dimension(size: int) -> str:
    return "N" if size == -1 else str(size)
