"""What a Triton backend loads: one file per runtime."""

from __future__ import annotations

from kit import axis
from kit.errors import UnsupportedModelError
from kit.runtimes.interface import Runtime
from kit.types import Target


def names() -> tuple[str, ...]:
    """Return the runtimes' names; each is the name of a Triton backend."""
    return axis.names(__name__)


def choose(target: Target) -> Runtime:
    """Return the runtime for a target: the first of its backends that the kit builds for.

    Raises ``UnsupportedModelError`` where it has none of them.
    """
    known = names()
    for backend in target.backends:
        if backend.name in known:
            runtime = axis.member(__name__, backend.name)
            assert isinstance(runtime, Runtime)
            return runtime
    offered = ", ".join(b.name for b in target.backends) or "none"
    raise UnsupportedModelError(f"{target.name} has the backends {offered}; the kit builds for {', '.join(known)}")
