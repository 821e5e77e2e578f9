"""What a Triton backend loads: one file per runtime."""

from __future__ import annotations

from kit import axis
from kit.errors import UnsupportedModelError, UsageError, suggestion
from kit.runtimes.interface import Runtime
from kit.targets.values import Target


def names() -> tuple[str, ...]:
    """Return the runtimes' names; each is the name of a Triton backend."""
    return axis.names(__name__)


def title(name: str) -> str:
    """Return how a runtime's library is called: ``ONNX Runtime``. ``name`` is one of ``names()``."""
    runtime = axis.member(__name__, name)
    assert isinstance(runtime, Runtime)
    return runtime.title


def choose(target: Target, wanted: str | None = None) -> Runtime:
    """Return the runtime for a target: the one that is wanted, else the first of its backends that the kit builds for.

    Raises ``UsageError`` where there is no such runtime, and ``UnsupportedModelError`` where the target has none.
    """
    known = names()
    if wanted is not None and wanted not in known:
        raise UsageError(f'runtime "{wanted}" is not available; {suggestion(wanted, known)}')
    for backend in target.backends:
        if backend.name in known and wanted in (None, backend.name):
            runtime = axis.member(__name__, backend.name)
            assert isinstance(runtime, Runtime)
            return runtime
    offered = ", ".join(b.name for b in target.backends) or "none"
    if wanted is not None:
        able = " or ".join(b.name for b in target.backends if b.name in known) or "none"
        raise UnsupportedModelError(
            f"{target.name} has the backends {offered}, and no {wanted}; choose --runtime {able}, or another target: "
            "kit targets"
        )
    raise UnsupportedModelError(f"{target.name} has the backends {offered}; the kit builds for {', '.join(known)}")
