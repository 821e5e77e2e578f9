"""Where two models differ: in what they answer, and at which layer that begins.

Any two that ``kit.runners`` can ask: PyTorch, ONNX at any precision, OpenVINO, an engine, a model on a Triton.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from kit import inputs
from kit.blame import ends, inner, outputs, references
from kit.blame.ends import Opened, Question
from kit.blame.feeds import Arrays, Feeds, picture
from kit.blame.values import Comparison, LayerDifference, Side
from kit.progress import Progress

_COARSENESS = ("fp32", "fp16", "int8")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to compare. ``count`` is how many inputs, ``images`` a folder of them; ``tolerance`` None: by precision.

    ``validation`` is a set to measure the task's metric on. ``layers``: whether to look inside, where both show their
    layers. ``threads`` is for each operator, 0 for all cores.
    """

    images: Path | None = None
    validation: Path | None = None
    count: int = 8
    tolerance: float | None = None
    layers: bool = True
    threads: int = 0


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the inside of both showed."""

    layers: tuple[LayerDifference, ...] = ()
    unmatched: int = 0
    notes: tuple[str, ...] = ()


def compare(first: str, second: str, options: Options, progress: Progress) -> Comparison:
    """Ask two models the same and return how their answers, and the tensors inside them, differ.

    Raises ``ComparisonError`` where they cannot be asked the same, and what loading and asking them raises.
    """
    from kit.blame import metric

    start = time.perf_counter()
    images = inputs.images_in(options.images) if options.images else ()
    names = references.resolve(first), references.resolve(second)
    with ExitStack() as stack:
        with progress.working("load"):
            left, right = (stack.enter_context(ends.opened(name, options.threads)) for name in names)
            question = stack.enter_context(ends.paired(left, right))
        made = Feeds(tensors=question.tensors, count=options.count, batch=question.batch, images=images)
        precision = max((side.precision or "fp32" for side in (left, right)), key=_COARSENESS.index)
        with progress.working(f"answers to {len(made)} inputs"):
            answered = outputs.compare(question, made, precision, options.tolerance)
        least = inner.least_sqnr(precision, options.tolerance)
        found = _inside(left, right, question, made, precision, least, progress) if options.layers else _Found()
    measured = metric.measure(*names, options.validation, progress) if options.validation is not None else None
    return Comparison(
        first=_side(left, first),
        second=_side(right, second),
        inputs=made.described,
        count=made.count,
        batch=question.batch,
        tolerance=answered.tolerance,
        least_sqnr_db=least,
        equal=all(output.equal for output in answered.outputs),
        outputs=answered.outputs,
        rows=answered.rows,
        metric=measured,
        layers=found.layers,
        unmatched=found.unmatched,
        first_diverging=inner.first_diverging(found.layers),
        culprit=inner.culprit(found.layers),
        notes=(*question.notes, *answered.notes, *found.notes, *_remarks(made, images)),
        seconds=time.perf_counter() - start,
    )


def _inside(
    left: Opened, right: Opened, question: Question, made: Feeds, precision: str, least_db: float, progress: Progress
) -> _Found:
    """Compare the layers, where both show them."""
    if left.instrument is None or right.instrument is None:
        silent = left if left.instrument is None else right
        return _Found(notes=(f"{silent.reference} shows no layers ({silent.runner}): only its outputs are compared",))
    if not question.batches_equal:
        return _Found(notes=("layers are not compared: the batches that are fixed in the two models differ",))
    pairs = inner.matches(left.instrument, right.instrument, question.inputs)
    with progress.working(f"layers, {len(pairs)} tensors"):
        noises = inner.measure(left.instrument, right.instrument, pairs, _Fed(question, made), lambda *_: None)
    found = inner.differences(left.instrument.network, pairs, noises, precision, least_db)
    missed = sum(1 for layer in left.instrument.network.layers if layer.weights) - sum(
        1 for pair in pairs if pair.first.weights and pair.first.name in noises
    )
    return _Found(layers=found, unmatched=missed)


@dataclass(frozen=True)
class _Fed:
    """The feeds of both sides, made anew each time that they are gone through."""

    question: Question
    made: Feeds

    def __iter__(self) -> Iterator[tuple[Arrays, Arrays]]:
        return (self.question.fed(given) for given in self.made)


def _side(opened: Opened, reference: str) -> Side:
    return Side(
        reference=reference,
        runner=opened.runner,
        precision=opened.precision,
        inputs=tuple(f"{t.name} {t.dtype.value}{list(t.shape)}" for t in opened.signature.inputs),
        outputs=tuple(f"{t.name} {t.dtype.value}{list(t.shape)}" for t in opened.signature.outputs),
        layers=len(opened.instrument.network.layers) if opened.instrument is not None else None,
    )


def _remarks(made: Feeds, images: tuple[Path, ...]) -> Iterator[str]:
    if images and made.described == "random":
        yield "images are not used: the models take no picture"
    elif not images and picture(made.tensors):
        yield "the inputs are random: give --images DIR for what a camera sees"
