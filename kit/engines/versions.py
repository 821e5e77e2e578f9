"""What a version of TensorRT takes: its options, its opset, how it is told precisions. The facts are ``facts.toml``."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from kit.errors import UnsupportedModelError

FILE = Path(__file__).with_name("facts.toml")

_TOKEN = re.compile(r"\[TensorRT v(\d+)\]")


@dataclass(frozen=True, kw_only=True)
class Cited:
    """What somebody says: ``source`` is where, ``date`` the day it was looked up, ``YYYY-MM-DD``."""

    source: str
    date: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Span:
    """The versions from ``since`` on, up to ``before`` where that is given."""

    since: str
    before: str | None = None

    def holds(self, version: str) -> bool:
        """Tell whether a version is among them."""
        number = numbers(version)
        return numbers(self.since) <= number and (self.before is None or number < numbers(self.before))


@dataclass(frozen=True, kw_only=True)
class Version(Span, Cited):
    """What is true of a range of versions; ``facts.toml`` explains each."""

    max_opset: int
    typing: str
    can_be_strong: bool
    dla: bool
    measure: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Names(Cited):
    """Names that exist: in every version, in some, and those that were there once."""

    everywhere: tuple[str, ...]
    limited: Mapping[str, Span]
    gone: Mapping[str, str] = field(default_factory=dict)

    def has(self, name: str, version: str) -> bool:
        """Tell whether a version knows a name."""
        return name in self.everywhere or (name in self.limited and self.limited[name].holds(version))


@dataclass(frozen=True, kw_only=True)
class Limits(Cited):
    """What layers take at most: ``top_k`` is K of TopK."""

    top_k: int


@dataclass(frozen=True, kw_only=True)
class Container(Cited):
    """How an image of NVIDIA's is started to build in it: ``docker run``'s options for its GPU, and trtexec's place."""

    trtexec: str
    discrete: tuple[str, ...]
    jetson: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Rtx(Cited):
    """TensorRT-RTX: its module, the GPU that it builds for here, and the operators that it has no kernel for."""

    module: str
    compute_capability: str
    lacks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The contents of ``facts.toml``."""

    versions: tuple[Version, ...]
    options: Names
    python: Names
    limits: Limits
    container: Container
    rtx: Rtx


@functools.cache
def facts() -> Facts:
    """Return what is known of TensorRT."""
    return msgspec.convert(_toml(), Facts)


def of(version: str) -> Version:
    """Return what is true of a version. Raises ``UnsupportedModelError`` for one that the kit builds no engines for."""
    found = next((v for v in facts().versions if v.holds(version)), None)
    if found is None:
        first, last = facts().versions[0].since, facts().versions[-1].before
        raise UnsupportedModelError(
            f"TensorRT {version}: the kit knows the options of {first} up to {last}; use --runtime onnxruntime there"
        )
    return found


def numbers(version: str) -> tuple[int, ...]:
    """Return ``10.11.0.33`` as numbers, which compare as versions do."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def release(version: str) -> str:
    """Return ``10.11.0`` of ``10.11.0.33``: engines of one release run on every build of it."""
    return ".".join(str(n) for n in (*numbers(version), 0, 0)[:3])


def other_release(tool: str, own: str | None, serving: str, version_compatible: bool) -> str | None:
    """Return why a tool builds no engine for the release that serves, or None where it does."""
    if own is not None and release(own) == release(serving):
        return None
    if own is not None and version_compatible and numbers(own) <= numbers(serving):
        return None
    return f"this {tool} is of TensorRT {own or 'an unknown release'}, and the target serves with {release(serving)}"


def of_banner(text: str) -> str | None:
    """Return the release that trtexec names in its first line, ``[TensorRT v101100]``; None where there is none.

    It is major * 10000 + minor * 100 + patch; before 10 it was major * 1000.
    """
    match = _TOKEN.search(text)
    if match is None:
        return None
    number = int(match.group(1))
    thousands = 10_000 if number >= 100_000 else 1000
    return f"{number // thousands}.{number % thousands // 100}.{number % 100}"


def _toml() -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(FILE.read_text(encoding="utf-8"))
