"""What columns of scores [N, A, columns] are: probabilities or logits, with or without one of background."""

from __future__ import annotations

from dataclasses import dataclass

from kit.evidence import Evidence
from kit.heads._text import foreground
from kit.heads.interface import Array
from kit.types import Layout

KINDS = ("probabilities", "sigmoid", "softmax")
BACKGROUNDS = ("no-background", "background-first", "background-last")

_BY_SIGMOID = frozenset({"GridSample", "ScatterND", "Log"})
"""Deformable attention, or an inverse sigmoid of earlier boxes: such networks are trained with a focal loss."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Words for the columns and why; ``rivals`` are the words of each reading that fits as well."""

    words: tuple[str, ...]
    why: str
    rivals: tuple[tuple[str, ...], ...] = ()


def read(seen: Evidence, index: int, values: Array | None, columns: int, asked: tuple[str, ...], usual: str) -> Scores:
    """Return what the columns of the output at ``index`` are; ``usual`` is where this head has its background."""
    kind = next((word for word in asked if word in KINDS), None)
    ground = next((word for word in asked if word in BACKGROUNDS), None)
    found = _kind(seen, index, values, columns, usual) if kind is None else Scores(words=(kind,), why="")
    if ground is not None:
        chosen = found.words[:1] if not found.rivals else (_kind_for(ground, found),)
        found = Scores(words=(*chosen, ground), why=found.why)
    elif len(found.words) == 1:
        found = _with_background(seen, found, values, columns, usual)
    return Scores(words=found.words, why=_say(found, columns), rivals=found.rivals)


def _kind_for(ground: str, found: Scores) -> str:
    """Return the rival kind that goes with the background that the user says."""
    fitting = [words for words in found.rivals if (words[-1] == "no-background") == (ground == "no-background")]
    return fitting[0][0] if fitting else found.words[0]


def _kind(seen: Evidence, index: int, values: Array | None, columns: int, usual: str) -> Scores:
    from kit.heads import _arrays

    ending = seen.ending(index)
    if ending == "Sigmoid":
        return Scores(words=("probabilities", "no-background"), why="")
    if ending == "Softmax" or (values is not None and _arrays.probable(values)):
        return Scores(words=("probabilities",), why="")
    if seen.named_classes == columns or columns == 1:
        return Scores(words=("sigmoid", "no-background"), why="")
    if seen.named_classes == columns - 1:
        return Scores(words=("softmax", usual), why="")
    refined = any(_BY_SIGMOID & seen.operators(position) for position in range(len(seen.outputs)))
    if refined or (values is not None and _arrays.mostly_negative(values)):
        return Scores(words=("sigmoid", "no-background"), why="")
    # Where nothing is seen, a softmax has one large logit, that of its background; sigmoids have none.
    if values is not None and _arrays.dominant(values) == usual:
        return Scores(words=("softmax", usual), why="")
    both = (("sigmoid", "no-background"), ("softmax", usual))
    return Scores(words=both[0], why="", rivals=both)


def _with_background(seen: Evidence, found: Scores, values: Array | None, columns: int, usual: str) -> Scores:
    """Add the word for the background: by the names, by what rows sum to, by what is largest where nothing is seen."""
    from kit.heads import _arrays

    kind = found.words[0]
    shared = kind == "softmax" or (kind == "probabilities" and values is not None and _arrays.shares(values))
    if not shared or seen.named_classes == columns or columns == 1:
        return Scores(words=(kind, "no-background"), why="")
    if usual == "background-last":  # DETR and all that follow it
        return Scores(words=(kind, usual), why="")
    if values is not None and (ground := _arrays.dominant(values)) is not None:
        return Scores(words=(kind, ground), why="")
    if seen.named_classes == columns - 1:
        return Scores(words=(kind, usual), why="")
    return Scores(words=(kind, usual), why="", rivals=tuple((kind, ground) for ground in BACKGROUNDS[1:]))


def _say(found: Scores, columns: int) -> str:
    if found.rivals:
        activations = {words[0] for words in found.rivals}
        return (
            "scores are logits, of sigmoids or of a softmax with a column of background"
            if len(activations) > 1
            else "scores are of a softmax, whose first or last column is background"
        )
    first, end = foreground(columns, Layout(words=found.words))
    kinds = {
        "probabilities": "scores are probabilities",
        "sigmoid": "scores are logits, a sigmoid is added",
        "softmax": "scores are logits, a softmax is added",
    }
    if end - first == columns:
        return kinds[found.words[0]]
    return f"{kinds[found.words[0]]}; the {'first' if first else 'last'} of {columns} columns is background, dropped"
