"""Runs the stages of the pipeline: from the cache where the same was done before, with time and progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from kit import disk
from kit.cache import Cache, Key
from kit.progress import Progress
from kit.types import StageTime

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Stages:
    """What every stage shares. ``times`` grows with each that has run."""

    cache: Cache
    progress: Progress
    times: list[StageTime] = field(default_factory=list)

    def cached(self, key: Key, kind: type[T], build: Callable[[Path], T], tell: Callable[[T], str]) -> T:
        """Return the result that is kept under ``key``, else that of ``build(folder)``, which is then kept.

        ``tell`` says in a few words what came out. Raises what ``build`` raises, ``DiskFullError`` and
        ``NotWritableError``.
        """
        start = time.perf_counter()
        found = self.cache.find(key, kind)
        if found is not None:
            self.finished(key.stage, tell(found), start, cached=True)
            return found
        with self.progress.working(key.stage):
            made = self.anew(key, kind, build)
        self.finished(key.stage, tell(made), start, cached=False)
        return made

    def quietly(self, key: Key, kind: type[T], build: Callable[[Path], T]) -> T:
        """Do as ``cached`` does, for what is too small to be told."""
        found = self.cache.find(key, kind)
        return self.anew(key, kind, build) if found is None else found

    def anew(self, key: Key, kind: type[T], build: Callable[[Path], T]) -> T:
        """Return the result of ``build(folder)``, which is kept in place of what was. Raises as ``cached`` does."""
        with disk.translated(self.cache.root, disk.CACHE_REMEDY):
            return self.cache.make(key, kind, build)

    def finished(self, stage: str, result: str, start: float, *, cached: bool = False) -> None:
        """Record that a stage which began at ``start`` (``time.perf_counter``) has ended."""
        seconds = time.perf_counter() - start
        self.times.append(StageTime(stage=stage, seconds=seconds, cached=cached))
        self.progress.done(stage, result, seconds, cached=cached)
