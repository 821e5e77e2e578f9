"""What a spec asks of a target that the target does not have, with the targets that do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kit import runtimes, targets
from kit.errors import TargetFileError, UnsupportedModelError, UsageError
from kit.targets.values import Target


def problems(target: Target, *, threads: int | None, folders: Sequence[Path] = ()) -> Iterator[str]:
    """Yield what ``target`` lacks: a backend that the kit builds for, or as many CPU threads per instance.

    ``folders`` hold the user's own targets.
    """
    if (reason := _no_runtime(target)) is not None:
        yield f"{reason}; choose {_those(lambda t: _no_runtime(t) is None, folders)}"
    has = target.device.cpu_threads
    if threads is not None and has is not None and threads > has:
        able = _those(lambda t: t.device.cpu_threads is None or t.device.cpu_threads >= threads, folders)
        yield f"{target.name} has {has} CPU threads, not {threads}; ask for {has} or fewer, or choose {able}"


def require(target: Target, *, threads: int | None, folders: Sequence[Path] = ()) -> None:
    """Raise ``UsageError`` with the first thing that ``target`` lacks, as ``problems`` has it."""
    for problem in problems(target, threads=threads, folders=folders):
        raise UsageError(problem)


def dla(folders: Sequence[Path] = ()) -> str:
    """Say why no spec can ask for a DLA: the targets that have one, and where it is asked for."""
    able = _those(lambda t: t.device.dla_cores > 0, folders)
    return f"a DLA is in {able}, and engines are built for it on the device, with kit build --dla 0; delete the key"


def _no_runtime(target: Target) -> str | None:
    try:
        runtimes.choose(target)
    except UnsupportedModelError as error:
        return str(error)
    return None


def _those(fits: Callable[[Target], bool], folders: Sequence[Path]) -> str:
    """Name the targets that fit."""
    every = (_loaded(name, folders) for name in targets.names(folders))
    return ", ".join(t.name for t in every if t is not None and fits(t)) or "another target"


def _loaded(name: str, folders: Sequence[Path]) -> Target | None:
    try:
        return targets.load(name, folders)
    except TargetFileError:  # one of the user's that nobody asked for
        return None
