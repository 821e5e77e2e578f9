"""How INT8 is done for a backend on a target: facts, in ``recipes.toml``."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from kit.errors import UnsupportedModelError
from kit.targets.values import Target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_STRONGLY_TYPED = 10
"""The first major version of TensorRT with networks in which types are those of the graph, also with Q/DQ."""

_FILE = Path(__file__).with_name("recipes.toml")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe: for whom (``backend`` to ``vnni``; None fits all) and what. ``recipes.toml`` says what each key is."""

    name: str
    backend: str | None = None
    architecture: str | None = None
    device: str | None = None
    vnni: bool | None = None
    activations: str
    weights: str
    per_channel: bool
    reduced: bool
    symmetric: bool
    bias: bool
    outputs: bool
    residual: Literal["skip", "both"] | None = None
    remainder: bool = False
    operators: tuple[str, ...]
    products: tuple[str, ...] = ()
    source: str
    date: str
    note: str

    def for_products(self) -> Recipe:
        """Return the recipe for a network of matrix products."""
        return replace(self, operators=self.products, outputs=False) if self.products else self

    def fits(self, backend: str, target: Target) -> bool:
        """Tell whether it is for this backend on this target."""
        facts = {"backend": backend, "architecture": target.device.architecture, "vnni": target.device.vnni}
        wanted = {"backend": self.backend, "architecture": self.architecture, "vnni": self.vnni}
        device = _device(backend, target)
        return self.device in (None, device) and all(v is None or facts[k] == v for k, v in wanted.items())


@dataclass(frozen=True, kw_only=True)
class Half:
    """How FP16 is done: whether the backend computes in it; see ``recipes.toml``."""

    name: str
    backend: str | None = None
    architecture: str | None = None
    device: str | None = None
    arithmetic: bool
    source: str
    date: str
    note: str

    def fits(self, backend: str, target: Target) -> bool:
        """Tell whether it is for this backend on this target."""
        facts = (backend, target.device.architecture, _device(backend, target))
        wanted = (self.backend, self.architecture, self.device)
        return all(want in (None, fact) for want, fact in zip(wanted, facts, strict=True))


@functools.cache
def halves() -> tuple[Half, ...]:
    """Return how FP16 is done, the first that fits before the others; the last fits everyone."""
    return tuple(Half(**table) for table in _tables("half"))


@functools.cache
def every() -> tuple[Recipe, ...]:
    """Return the recipes, the first that fits before the others."""
    return tuple(
        Recipe(**{**table, "operators": tuple(table["operators"]), "products": tuple(table.get("products", ()))})
        for table in _tables("recipe")
    )


def halves_the_rest(recipe: Recipe, target: Target) -> bool:
    """Tell whether what INT8 leaves is FP16 in the graph: where TensorRT is strongly typed, and has no flags for it."""
    version = target.stack.tensorrt_version or "0"
    return recipe.remainder and int(version.partition(".")[0]) >= _STRONGLY_TYPED


def choose(backend: str, target: Target) -> Recipe:
    """Return the recipe for a backend on a target. Raises ``UnsupportedModelError`` where there is none."""
    for recipe in every():
        if recipe.fits(backend, target):
            return recipe
    known = sorted({r.backend or "tensorrt" for r in every()})
    raise UnsupportedModelError(
        f"{backend} on {target.name} has no recipe for INT8 (there are some for {', '.join(known)}); "
        "use --precision fp32"
    )


def computes_in_half(backend: str, target: Target) -> bool:
    """Tell whether a backend on a target gains by FP16 arithmetic, and not by smaller weights alone."""
    return next(half for half in halves() if half.fits(backend, target)).arithmetic


def _tables(kind: str) -> list[dict[str, Any]]:
    tables: list[dict[str, Any]] = tomllib.loads(_FILE.read_text(encoding="utf-8"))[kind]
    return tables


def _device(backend: str, target: Target) -> str:
    """Return ``gpu`` where the backend runs on the target's GPU, else ``cpu``."""
    known = target.backend(backend)
    return "gpu" if backend == "tensorrt" or (known is not None and known.instance_kind == "KIND_GPU") else "cpu"
