"""How a detector's raw outputs are laid out: one file per head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kit import axis, evidence
from kit.errors import UnknownHeadError, suggestion
from kit.heads.interface import DetectorHead, Reading
from kit.types import Model


def names() -> tuple[str, ...]:
    """Return the heads' names."""
    return axis.names(__name__)


def get(name: str) -> DetectorHead:
    """Return the head of that name. Raises ``UnknownHeadError``."""
    if name not in names():
        raise UnknownHeadError(f'unknown head "{name}"; {suggestion(name, names())}')
    head = axis.member(__name__, name)
    assert isinstance(head, DetectorHead)
    return head


def parse(text: str) -> tuple[DetectorHead, tuple[str, ...]]:
    """Return the head and the words of ``detr,softmax``. Raises ``UnknownHeadError``."""
    name, *words = (part.strip() for part in text.split(","))
    head = get(name)
    known = [word for group in head.words for word in group]
    for word in words:
        if word not in known:
            choices = suggestion(word, known) if known else "it has none"
            raise UnknownHeadError(f'head "{name}" has no variation "{word}"; {choices}')
    for group in head.words:
        if len(chosen := [word for word in group if word in words]) > 1:
            raise UnknownHeadError(f'head "{text}": {" and ".join(chosen)} exclude each other; give one of them')
    return head, tuple(dict.fromkeys(words))


def recognise(model: Model, fits: Callable[[Reading], bool]) -> tuple[DetectorHead, Reading] | None:
    """Return the surest reading of the model's outputs that ``fits``; None where no head has such outputs.

    Where two heads are equally unsure, each is a rival of the other.
    """
    seen = evidence.of(model)
    read = [(head, head.recognise(seen, None)) for head in map(get, names())]
    found = [(head, reading) for head, reading in read if reading is not None and fits(reading)]
    if not found:
        return None
    least = min(reading.certainty.doubt for _, reading in found)
    best = [(head, reading) for head, reading in found if reading.certainty.doubt == least]
    (head, reading), *others = best
    if not others:
        return head, reading
    rivals = [rival for h, r in best for rival in (r.rivals or (h.name,))]
    return head, replace(reading, rivals=tuple(dict.fromkeys(rivals)))


def recognise_as(model: Model, text: str, fits: Callable[[Reading], bool]) -> tuple[DetectorHead, Reading] | None:
    """Return the reading as the head that the user names, or None where the shapes do not fit.

    Raises ``UnknownHeadError``.
    """
    head, words = parse(text)
    reading = head.recognise(evidence.of(model), words)
    return (head, reading) if reading is not None and fits(reading) else None


def expects(text: str | None = None) -> str:
    """Say what outputs the head that the user names has; without one, which heads there are."""
    if text is not None:
        return parse(text)[0].expects()
    return f"boxes, scores and classes as one of the heads {', '.join(names())} has them"
