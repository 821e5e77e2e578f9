"""What a model is, without making anything of it: the first stages of the pipeline, for ``kit init``."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from kit import contract, simplify, sources
from kit.types import Interpretation, Model, Spec


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """The network as its source gives it, and what its outputs were taken to mean."""

    model: Model
    meaning: Interpretation


def recognise(spec: Spec, input_shape: tuple[int, ...] | None) -> Recognised:
    """Read a model and interpret it as ``kit generate`` does. Raises a ``KitError``."""
    source = sources.resolve(spec.source)
    if not Path(spec.source).exists():
        source.fingerprint(spec.source)  # says what is there instead
    with tempfile.TemporaryDirectory(prefix="kit-") as name:
        loaded, simplified = Path(name, "loaded"), Path(name, "simplified")
        loaded.mkdir()
        simplified.mkdir()
        model = source.load(spec.source, loaded, input_shape).model
        network = simplify.simplify(model, simplified)
        return Recognised(model=model, meaning=contract.interpret(spec, network))
