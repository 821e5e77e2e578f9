"""What is said on the command line becomes a job; what cannot be is told at once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kit import manifest
from kit.errors import BadRepositoryError, TuneError, UsageError, suggestion
from kit.load import quantities
from kit.tune.values import Job, Limits, Need

_Read = TypeVar("_Read", int, float)
_MOST_CHOICES = 32
_LONGEST_MS = 60_000.0


@dataclass(frozen=True, kw_only=True)
class Said:
    """The options of ``kit tune``, as they were typed; None and empty: not said."""

    repository: Path
    model: str | None
    target: str | None
    p99: str | None
    cameras: int | None
    fps: str | None
    fail_ratio: str
    instances: str | None
    batch: str | None
    delay: str | None
    threads: str | None
    variants: tuple[str, ...]
    budget: str | None
    url: str | None
    engine: str | None
    images: Path | None
    journal: Path | None
    fresh: bool
    target_folders: tuple[Path, ...]


def plan(said: Said) -> Job:
    """Read the options.

    Raises ``UsageError``, ``BadRepositoryError`` where there is no repository, and ``TuneError`` where the options do
    not fit each other.
    """
    if said.url is not None and said.engine is not None:
        raise TuneError(f"--url is a server that runs; leave out --engine {said.engine}, or --url to have one started")
    need = _need(said)
    model = _model(said.repository, said.model)
    return Job(
        repository=said.repository,
        model=model,
        target=said.target or _first_target(said.repository, model),
        need=need,
        limits=Limits(
            instances=_choices(said.instances, "--instances", "1,2,4", _whole(1, 1024)),
            max_batch_sizes=_choices(said.batch, "--batch", "1,2,4,8", _whole(1, 1024)),
            queue_delays_us=_choices(said.delay, "--delay", "0,2ms", _microseconds),
            threads=_choices(said.threads, "--threads", "1,2,4", _whole(0, 1024)),
            budget_s=None if said.budget is None else quantities.seconds(said.budget),
        ),
        variants=_variants(said.variants),
        url=said.url,
        engine=said.engine or "embedded",
        images=said.images,
        journal=said.journal,
        fresh=said.fresh,
        target_folders=said.target_folders,
    )


def _need(said: Said) -> Need:
    if said.p99 is None:
        raise UsageError("nothing says how long an answer may take; give --p99 50ms")
    if said.fps is not None and said.cameras is None:
        raise TuneError("--fps is of --cameras; give --cameras N, or leave out both for the most that --p99 allows")
    p99_ms = quantities.milliseconds(said.p99)
    if p99_ms > _LONGEST_MS:
        raise UsageError(f'--p99 "{said.p99}" is longer than a minute; give 50ms')
    return Need(
        p99_ms=p99_ms,
        cameras=said.cameras or 0,
        fps=quantities.number(said.fps or "15", "number of frames a second"),
        fail_ratio=quantities.share(said.fail_ratio),
    )


def _model(repository: Path, name: str | None) -> str:
    """Return the model of that name, or the only one of a repository."""
    if not repository.is_dir():
        raise BadRepositoryError(f"{repository} is no folder; give the repository that kit generate has written")
    found = sorted(file.parent.name for file in repository.glob("*/config.pbtxt"))
    if not found:
        raise BadRepositoryError(f"{repository} holds no model; make one: kit generate model.onnx")
    if name is not None and name not in found:
        raise BadRepositoryError(f'{repository} holds no model "{name}"; {suggestion(name, found)}')
    if name is None and len(found) > 1:
        raise UsageError(f"{repository} holds {', '.join(found)}; give --model NAME")
    return name or found[0]


def _first_target(repository: Path, model: str) -> str:
    """Return the target whose configuration is served where none is named: the first that the model was made for."""
    known = manifest.read(repository / model)
    if known is None or not known.targets:
        raise UsageError(f"nothing says what {repository / model} is made for; give --target NAME")
    return next(iter(known.targets))


def _choices(text: str | None, option: str, example: str, read: Callable[[str], _Read]) -> tuple[_Read, ...] | None:
    """Return what a list of values says, each once and in order; None where nothing is said."""
    if text is None:
        return None
    try:
        found = {read(part.strip()) for part in text.split(",")}
    except (ValueError, UsageError) as error:
        raise UsageError(f'{option} "{text}": {error}; give {example}') from error
    if len(found) > _MOST_CHOICES:
        raise UsageError(f"{option} has {len(found)} values; {_MOST_CHOICES} are the most")
    return tuple(sorted(found))


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(part: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", part) or not least <= int(part) <= most:
            raise ValueError(f"each is a whole number from {least} to {most}")
        return int(part)

    return read


def _microseconds(part: str) -> int:
    if re.fullmatch(r"0+(\.0*)?\s*(us|ms|s)?", part):
        return 0
    try:
        found = quantities.milliseconds(part)
    except UsageError as error:
        raise ValueError("each is 0 or a time") from error
    if found > _LONGEST_MS:
        raise ValueError("each is at most 60s")
    return math.ceil(found * 1000 - 1e-6)


def _variants(said: tuple[str, ...]) -> dict[str, Path]:
    """Return the further repositories by name: ``int8=out/int8``."""
    found: dict[str, Path] = {}
    for text in said:
        name, _, folder = text.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or not folder:
            raise UsageError(f'--variant "{text}": a name and a repository; give --variant int8=out/int8')
        if name in found:
            raise TuneError(f"--variant {name} is given twice; give each a name of its own")
        found[name] = Path(folder)
    return found
