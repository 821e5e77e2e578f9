"""Puts an engine into a published model's folder, in one step, as a model is published."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from kit import config, contents, disk, repository, workspace
from kit.building.tasks import Task
from kit.cache import file_digest
from kit.engines import provenance
from kit.engines.provenance import Provenance
from kit.types import Entry

_SECONDARY = re.compile(r"\n    secondary_devices \[[^\]]*\]")


def put(work: Path, task: Task, plan: Path, made: Provenance) -> None:
    """Put an engine and what is known of it into the model's folder; what stands there stands until all of it is new.

    Raises ``RepositoryBusyError`` where another run published meanwhile, ``NotWritableError`` and ``DiskFullError``.
    """
    published = task.published
    known = published.manifest
    assert known is not None
    staged = workspace.staging_root(work) / known.name
    with disk.translated(published.path.parent):
        _copy(published.path, staged, kept=set(known.files))
        version = staged / str(task.recipe.version)
        placed = version / task.recipe.plan
        for stale in (placed, provenance.beside(placed)):
            stale.unlink(missing_ok=True)
        plan.rename(placed)
        provenance.beside(placed).write_text(provenance.text(made), encoding="utf-8")
        changed = [placed, provenance.beside(placed), *_configure(staged, task)]
    files = {p: d for p, d in known.files.items() if (staged / p).exists()}
    files.update({path.relative_to(staged).as_posix(): file_digest(path) for path in changed})
    repository.write_manifest(staged, replace(known, files=contents.in_order(files)))
    repository.publish(Entry(name=known.name, path=staged, version=task.recipe.version, changed=True), published)


def _copy(source: Path, target: Path, kept: set[str]) -> None:
    """Give every file of a model a second name, so that Triton sees the same times and reads nothing twice."""
    for path in sorted(kept):
        if not (source / path).exists():  # an engine that somebody removed
            continue
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        disk.link_or_copy(source / path, target / path)


def _configure(staged: Path, task: Task) -> list[Path]:
    """Write the DLA core into the target's configuration, and into ``config.pbtxt`` where that is the same text."""
    text = with_dla(task.config, task.recipe.dla_core)
    if text == task.config:
        return []
    config.parse(text)
    paths = [p for p in (*staged.glob("*.pbtxt"), *staged.glob("configs/*.pbtxt")) if p.read_text() == task.config]
    for path in paths:
        path.unlink()  # another name of the published file
        path.write_text(text, encoding="utf-8")
    return paths


def with_dla(text: str, core: int | None) -> str:
    """Return a configuration whose instances run on a DLA core; None: on the GPU alone."""
    bare = _SECONDARY.sub("", text)
    if core is None:
        return bare
    device = f"\n    secondary_devices [ {{ kind: KIND_NVDLA device_id: {core} }} ]"
    return re.sub(r"(\n    kind: KIND_GPU)\n", rf"\1{device}\n", bare)
