"""How good a model is, wherever it is: a file, a running Triton, or whatever ``kit generate`` would take."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from kit import accuracy, contract, labels, loading, manifest, runners, sources, tasks
from kit.accuracy import Answers, Budget, Score, Validation, Verdict
from kit.accuracy.twin import served_threshold
from kit.cache import Cache
from kit.errors import SourceNotFoundError, UsageError, ValidationSetError
from kit.progress import Progress
from kit.stages import Stages
from kit.types import Interpretation, Model, Signature, Spec, Thresholds

_OUTPUTS = {
    "instances": {"num", "boxes", "scores", "classes", "masks"},
    "pose": {"num", "boxes", "scores", "classes", "keypoints"},
    "detect": {"num", "boxes", "scores", "classes"},
    "classify": {"probabilities"},
    "embed": {"embedding"},
}
"""The served contract's outputs by task, those with the most first."""

_AT_A_TIME = 8

_MAPS = ({"scores"}, {"classes"})
"""Of segmentation: one of them, with more than two dimensions."""

Tell = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Returns a context for as long as a model is shown pictures; what it yields is called with how many are done."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be measured. ``against`` is a model that is held to be right, or better.

    ``spec`` says of both models what their file does not: the task, the head, labels, normalisation. ``shape`` is that
    of a PyTorch model's input, ``metric`` the user's own. ``batch`` is the largest one that is asked: None for 8, and
    for 1 where somebody else's server or engine decides what it takes. ``budget`` is what may be lost.
    """

    spec: Spec
    validation: Path
    against: str | None = None
    metric: str | None = None
    shape: tuple[int, ...] | None = None
    batch: int | None = None
    budget: Budget | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured on which pictures; ``verdict`` where it was held against another model."""

    model: str
    against: str | None
    task: str
    layout: str
    pictures: int
    notes: tuple[str, ...]
    score: Score
    verdict: Verdict | None


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A model with the served contract, at ``reference``, and what it means.

    ``lowered``: whether its score threshold is that of evaluation.
    """

    reference: str
    meaning: Interpretation
    names: tuple[str, ...]
    lowered: bool


def evaluate(asked: Asked, progress: Progress, tell: Tell | None = None) -> Evaluation:
    """Show the pictures to the model, and to the other one where there is one, and score their answers.

    Raises ``ValidationSetError``, ``MetricError``, ``MissingExtraError``, ``UsageError`` and what loading raises.
    """
    metric = None if asked.metric is None else accuracy.own_metric(asked.metric)
    # A server keeps its threshold: what it is held against must keep it too.
    lowered = _is_source(asked.spec.source) and (asked.against is None or _is_source(asked.against))
    with tempfile.TemporaryDirectory(prefix="kit-") as name:
        folder = Path(name)
        subject = _subject(asked, asked.spec.source, folder / "model", progress, lowered=lowered)
        validation = accuracy.read(asked.validation, subject.meaning, subject.names)
        _require_truth(asked, validation)
        before = None
        if asked.against is not None:
            other = _subject(asked, asked.against, folder / "other", progress, lowered=lowered)
            before = _answers(other, validation, asked.batch, tell)
        answers = _answers(subject, validation, asked.batch, tell)
    verdict = None if before is None else accuracy.judge(before, answers, validation, asked.budget, metric)
    score = accuracy.score(answers, validation, metric=metric) if verdict is None else verdict.after
    return Evaluation(
        model=asked.spec.source,
        against=asked.against,
        task=subject.meaning.task,
        layout=validation.layout,
        pictures=len(validation),
        notes=(*validation.notes, *score.notes, *(verdict.notes if verdict is not None else ())),
        score=score,
        verdict=verdict,
    )


def _require_truth(asked: Asked, validation: Validation) -> None:
    if validation.truth is None and asked.against is None and asked.metric is None:
        raise ValidationSetError(
            f"{asked.validation} has no labels that were found, so that nothing can be said of one model alone; give "
            "labels, or the model to hold it against with --against"
        )


def _answers(subject: _Subject, validation: Validation, batch: int | None, tell: Tell | None) -> Answers:
    shown = nullcontext(_unseen) if tell is None else tell(subject.reference)
    largest = batch or (_AT_A_TIME if subject.lowered else 1)
    with shown as moved, runners.open(subject.reference) as running:
        return accuracy.measure(
            running.run, validation, subject.meaning, running.signature, moved, largest=largest, lowered=subject.lowered
        )


def _is_source(reference: str) -> bool:
    """Tell whether ``kit generate`` would take it. Raises ``SourceNotFoundError`` where no runner does either."""
    try:
        sources.resolve(reference)
    except SourceNotFoundError:
        if not any(runners.get(name).reads(reference) for name in runners.names()):
            raise
        return False
    return True


def _subject(asked: Asked, reference: str, folder: Path, progress: Progress, *, lowered: bool) -> _Subject:
    """Return the model ready to be measured: one of ours as it is, another one converted as ``kit generate`` does."""
    folder.mkdir()
    spec = replace(asked.spec, source=reference)
    if not _is_source(reference):
        with runners.open(reference) as running:
            return _as_it_is(spec, reference, running.signature)
    source = sources.resolve(reference)
    stages = Stages(cache=Cache(), progress=_Notes(progress))
    loaded = loading.load(spec, asked.shape if source.needs_shape else None, stages, folder, _nothing)
    if (task := served_task(loaded.model.signature)) is not None:
        meaning, names = _of_manifest(Path(reference)) or (_meaning(task, loaded.model), ())
        names = labels.read(spec.labels) if spec.labels is not None else names
        return _ready(loaded.model, meaning, names, folder, lowered=lowered)
    network = loading.simplified(loading.make_batch_variable(loaded, stages).model, stages)
    meaning = contract.interpret(spec, network)
    (folder / "served").mkdir()
    served = contract.fuse(network, meaning, folder / "served")
    return _ready(served, meaning, labels.find(spec.labels, network, meaning), folder, lowered=lowered)


def _ready(model: Model, meaning: Interpretation, names: tuple[str, ...], folder: Path, *, lowered: bool) -> _Subject:
    (folder / "twin").mkdir()
    asked = accuracy.evaluation_twin(model, meaning, folder / "twin") if lowered else model
    return _Subject(reference=str(asked.path), meaning=meaning, names=names, lowered=lowered)


def _as_it_is(spec: Spec, reference: str, signature: Signature) -> _Subject:
    """Return a model that is no ONNX file, which keeps the threshold that it is served with."""
    task = served_task(signature)
    if task is None:
        given = ", ".join(f"{t.name} {t.dtype.value}{list(t.shape)}" for t in signature.outputs)
        raise UsageError(
            f"{reference} gives {given}, which are no outputs of the served contract; measure the source that it was "
            "made from, or generate it without --contract native"
        )
    names = labels.read(spec.labels) if spec.labels is not None else ()
    meaning = replace(_meaning(task, None), class_count=_classes(task, signature) or (len(names) or None))
    return _Subject(reference=reference, meaning=meaning, names=names, lowered=False)


def served_task(signature: Signature) -> str | None:
    """Return the task of a model with the served contract, by the names of its outputs; None for another one."""
    names = {tensor.name for tensor in signature.outputs}
    if next((t.dtype.value for t in signature.inputs), "") != "UINT8":
        return None
    if names in _MAPS and len(signature.outputs[0].shape) > 2:
        return "segment"
    return next((task for task, outputs in _OUTPUTS.items() if names == outputs), None)


def _meaning(task: str, model: Model | None) -> Interpretation:
    """Return what a served model's outputs mean, without what only its network would tell."""
    threshold = None if model is None else served_threshold(model.path, task)
    limits = tasks.get(task).thresholds(Thresholds())
    return Interpretation(
        task=task, head=task, contract="served", normalization=None, color="rgb", reason="the names of its outputs",
        class_count=None if model is None else _classes(task, model.signature),
        thresholds=limits if limits is None or threshold is None else replace(limits, score=threshold),
    )  # fmt: skip


def _classes(task: str, signature: Signature) -> int | None:
    """Return how many classes the outputs have, where their shape tells."""
    if task not in ("classify", "segment") or len(signature.outputs[0].shape) not in (2, 4):
        return None
    count = signature.outputs[0].shape[1]
    return count if count > 0 else None


def _of_manifest(path: Path) -> tuple[Interpretation, tuple[str, ...]] | None:
    """Return what the manifest beside a published model says of it, and its labels."""
    folder = path.absolute().parent.parent
    known = manifest.read(folder) if path.is_file() else None
    if known is None:
        return None
    text = folder / "labels.txt"
    return known.interpretation, labels.read(str(text)) if known.labels and text.is_file() else ()


def _nothing() -> None:
    """Begin nothing."""


def _unseen(done: int, total: int) -> None:
    """Show nothing."""


class _Notes:
    """Passes on what a user should know of a conversion; how it goes is no news here."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def working(self, what: str) -> Iterator[object]:
        """Show it."""
        with self._progress.working(what) as shown:
            yield shown

    def done(self, stage: str, result: str, seconds: float, *, cached: bool) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show it."""
        self._progress.note(text)
