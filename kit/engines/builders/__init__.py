"""What builds engines: one file per way. Each needs a GPU; which is the one that serves."""

from __future__ import annotations

from kit import axis
from kit.engines.builders.interface import Builder
from kit.engines.recipe import Recipe
from kit.errors import EngineBuildError, UsageError, suggestion

_ORDER = ("python", "trtexec", "docker")
"""What is quickest to start comes first; members that are not named here come last."""


def names() -> tuple[str, ...]:
    """Return the builders' names."""
    return axis.names(__name__)


def get(name: str) -> Builder:
    """Return the builder of that name. Raises ``UsageError``."""
    if name not in names():
        raise UsageError(f'builder "{name}" is not available; {suggestion(name, names())}')
    builder = axis.member(__name__, name)
    assert isinstance(builder, Builder)
    return builder


def choose(recipe: Recipe, wanted: str | None = None) -> Builder:
    """Return the builder that is wanted, else the first that can build here.

    Raises ``EngineBuildError`` with every builder's reason where none can.
    """
    ordered = sorted(names(), key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    reasons = []
    for name in (wanted,) if wanted is not None else ordered:
        builder = get(name)
        reason = builder.unavailable(recipe)
        if reason is None:
            return builder
        reasons.append(f"{name}: {reason}")
    raise EngineBuildError(
        f"no engine for {recipe.target.name} can be built on this machine ({'; '.join(reasons)}); run kit build on the "
        "device, or see what it would run with --dry-run"
    )
