"""A source as ONNX: from the cache where the file is known, with a free batch where that can be proved."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kit import batching, simplify, sources, summary
from kit.cache import Key
from kit.errors import SourceChangedError
from kit.sources.interface import Loaded
from kit.stages import Stages
from kit.types import Model, Spec


def load(spec: Spec, shape: tuple[int, ...] | None, stages: Stages, scratch: Path, begin: Callable[[], None]) -> Loaded:
    """Read the source. A PyTorch module is exported each time: only running it tells whether it changed.

    ``shape`` is that of the input without its batch, where the user said it; ``begin`` is called before any work.
    Raises a ``SourceError``.
    """
    source, text = sources.resolve(spec.source), spec.source
    fingerprint = source.fingerprint(text)
    if fingerprint is not None:
        key = Key(stage="load", inputs=(fingerprint,), parameters=shape, tools=source.tools)

        def work(folder: Path) -> Model:
            begin()
            loaded = source.load(text, folder, shape, spec.weights)
            if loaded.digest != fingerprint:
                raise SourceChangedError(f"{text} was changed while it was read; run again when it is whole")
            return loaded.model

        model = stages.cached(key, Model, work, summary.signature)
        return _told(stages, Loaded(model=model, digest=fingerprint, reference=source.reference(text, shape)))
    start = time.perf_counter()
    begin()
    with stages.progress.working("export"):
        loaded = source.load(text, scratch, shape, spec.weights)
    stages.finished("export", summary.signature(loaded.model), start)
    return _told(stages, loaded)


def make_batch_variable(loaded: Loaded, stages: Stages) -> Loaded:
    """Make a fixed batch variable where that can be proved; the model as it is where there is none."""
    model, reference = loaded.model, loaded.reference
    size = batching.fixed_batch(model.signature)
    if size is None:
        return loaded
    made = stages.cached(
        Key(stage="batch", inputs=(model.digest,), tools=("onnx", "onnxruntime", "onnxsim")),
        Model,
        lambda folder: batching.make_variable(model, folder),
        summary.signature,
    )
    parts = None if reference is None else batching.in_parts(reference, size)
    return _told(stages, replace(loaded, model=made, reference=parts))


def simplified(original: Model, stages: Stages) -> Model:
    """Return the network with what its exporter left behind taken out."""
    key = _simplify_key(original)
    network = stages.cached(key, Model, lambda folder: simplify.simplify(original, folder), summary.size)
    for note in network.notes:
        stages.progress.note(note)
    return network


def leave(original: Model, stages: Stages, why: str) -> None:
    """Let ``simplified`` return the model as it is from now on."""
    stages.anew(_simplify_key(original), Model, lambda folder: simplify.leave(original, folder, why))


def _simplify_key(original: Model) -> Key:
    return Key(stage="simplify", inputs=(original.digest,), tools=("onnxsim", "onnx", "onnxruntime"))


def _told(stages: Stages, loaded: Loaded) -> Loaded:
    for note in loaded.model.notes:
        stages.progress.note(note)
    return loaded
