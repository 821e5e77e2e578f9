"""The files of a published model's folder: in what order they are listed, what became of them, which are engines.

An engine and what is known of it (``1/model.t4.plan``, ``1/model.t4.plan.json``) are put in by ``kit build`` after the
model was published. They stay as long as the version that they were built from does, and may be removed by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from kit import manifest
from kit.cache import file_digest
from kit.manifest import Manifest

_ENGINE = (".plan", ".plan.json")


def is_engine(path: str) -> bool:
    """Tell whether a path in a model's folder is an engine, or what is known of one."""
    return path.endswith(_ENGINE)


def engines(live: Path, found: Manifest, version: int, targets: Iterable[str]) -> dict[str, str]:
    """Return the digests of a version's engines for these targets, as far as they are there."""
    wanted = {f"{version}/model.{target}{suffix}" for target in targets for suffix in _ENGINE}
    return {path: digest for path, digest in found.files.items() if path in wanted and (live / path).exists()}


def edited(live: Path, found: Manifest) -> list[str]:
    """Return the paths that differ from the manifest: changed, missing or added; a missing engine is no difference."""
    present = {p.relative_to(live).as_posix() for p in live.rglob("*") if p.is_file()} - {manifest.FILE_NAME}
    changed = [p for p in present & set(found.files) if file_digest(live / p) != found.files[p]]
    missing = [p for p in set(found.files) - present if not is_engine(p)]
    return sorted([*changed, *missing, *(present - set(found.files))])


def what_happened(live: Path, path: str, found: Manifest) -> str:
    """Return what became of a path that ``edited`` gave, in words that follow its name."""
    if path not in found.files:
        return "was added to what kit wrote"
    return "was changed after kit wrote it" if (live / path).exists() else "is missing from what kit wrote"


def without_edited(found: Manifest, paths: list[str]) -> Manifest:
    """Forget the versions whose files are not ours any more; the one that is made now is written anew."""
    stale = {path.partition("/")[0] for path in paths}
    return replace(found, versions={n: digest for n, digest in found.versions.items() if n not in stale})


def text_digest(text: str) -> str:
    """Return the digest of a file that holds this text."""
    return hashlib.sha256(text.encode()).hexdigest()


def in_order(files: Mapping[str, str]) -> dict[str, str]:
    """Return digests by path in the order of a manifest: texts, then versions by their number."""
    return {path: files[path] for path in sorted(files, key=_place)}


def _place(path: str) -> tuple[bool, int, str]:
    head = path.partition("/")[0]
    return (head.isdigit(), int(head) if head.isdigit() else 0, path)
