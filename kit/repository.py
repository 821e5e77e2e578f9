"""The versioned repository on disk: stage beside it, then publish in one step.

A model's folder is built whole in a workspace (``kit.workspace``) and then exchanged with the published one. Whatever
is killed when: the old folder stands, or the new one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kit import contents, disk, manifest, workspace
from kit.cache import file_digest
from kit.errors import (
    BadRepositoryError,
    EditedRepositoryError,
    ForeignRepositoryError,
    NotWritableError,
    RepositoryBusyError,
    StageError,
)
from kit.manifest import Manifest
from kit.types import Artifact, Entry, StoredFile

_PREVIOUS = "previous-"


@dataclass(frozen=True, kw_only=True)
class Published:
    """What stands at a model's place: its manifest and that file's digest, or nothing."""

    path: Path
    manifest: Manifest | None = None
    digest: str = ""
    edited: bool = False

    @property
    def version(self) -> int:
        """The latest version, 0 where nothing is published."""
        return self.manifest.version if self.manifest else 0


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a model's folder is to hold: texts by path, and the artifacts of the version to serve."""

    texts: Mapping[str, str]
    artifacts: tuple[Artifact, ...]
    keep: int


def survey(output: Path, name: str, *, alongside: bool, discard_edits: bool) -> Published:
    """Look at the place before any work is done; changes nothing.

    Raises ``NotWritableError``, ``ForeignRepositoryError`` for folders that the kit did not write (other
    models' are let stand with ``alongside``), ``EditedRepositoryError`` for files changed since.
    """
    with disk.translated(output, verb="read"):
        _require_ours(output, name, alongside=alongside)
        return _standing(output / name, discard_edits=discard_edits)


def _require_ours(output: Path, name: str, *, alongside: bool) -> None:
    """Refuse a place that cannot be written, or that somebody else's folders stand in."""
    if output.exists() and not output.is_dir():
        raise NotWritableError(f"{output} is a file; choose a folder with --output")
    _require_writable(output)
    _recover(output)
    for folder in sorted(p for p in output.glob("[!.]*") if p.is_dir()):
        if folder.name != name and alongside:
            continue
        if _is_foreign(folder):
            remedy = "" if folder.name == name else ", or add to it with --alongside"
            raise ForeignRepositoryError(
                f"{folder} was not written by kit, so nothing is written to {output}; choose another --output{remedy}"
            )
    live = output / name
    if live.exists() and not live.is_dir():
        raise ForeignRepositoryError(f"{live} is a file that kit did not write; choose another --output or --name")


def _is_foreign(folder: Path) -> bool:
    """Tell whether the kit did not write a folder; another run may be between two renames, and holds the lock then."""
    if manifest.read(folder) is not None:
        return False
    with disk.locked(folder.parent):
        return folder.is_dir() and manifest.read(folder) is None


def _standing(live: Path, *, discard_edits: bool) -> Published:
    """Return what the kit has published in ``live``."""
    found = manifest.read(live)
    if found is None:
        return Published(path=live)
    edited = contents.edited(live, found)
    if edited and not discard_edits:
        raise EditedRepositoryError(
            f"{live / edited[0]} {contents.what_happened(live, edited[0], found)}"
            + (f" (and {len(edited) - 1} more)" if len(edited) > 1 else "")
            + "; say it by options or in the spec and pass --discard-edits, or choose another --output"
        )
    digest = file_digest(live / manifest.FILE_NAME)
    return Published(path=live, manifest=contents.without_edited(found, edited), digest=digest, edited=bool(edited))


def next_version(published: Published, artifacts: tuple[Artifact, ...]) -> int:
    """Return the number for these artifacts: the published one where they are the same, else one more."""
    if published.manifest is None:
        return 1
    files = published.manifest.files
    number = published.version
    same = all(files.get(f"{number}/{f.filename}") == f.digest for a in artifacts for f in a.files)
    return number if same else number + 1


def complete(draft: Manifest, published: Published, content: Content) -> Manifest:
    """Return the manifest with every file's digest, those of the versions that stay included."""
    files = {path: contents.text_digest(text) for path, text in content.texts.items()}
    files.update({f"{draft.version}/{f.filename}": f.digest for a in content.artifacts for f in a.files})
    versions = {str(draft.version): draft.source.sha256}
    for number in _kept(published, draft.version, content.keep):
        assert published.manifest is not None
        files.update({p: d for p, d in published.manifest.files.items() if p.startswith(f"{number}/")})
        versions[str(number)] = published.manifest.versions.get(str(number), "")
    files.update(_engines(draft, published))
    return replace(draft, files=contents.in_order(files), versions=dict(sorted(versions.items(), key=_number)))


def stage(folder: Path, draft: Manifest, published: Published, content: Content) -> Entry:
    """Write a model's whole folder into the workspace ``folder``; return it in ``workspace.staging_root(folder)``.

    A server that looks there sees it whole or not at all. Raises ``NotWritableError`` and ``DiskFullError``.
    """
    model, place = folder / "partial", workspace.staging_root(folder) / draft.name
    with disk.translated(published.path.parent):
        model.mkdir()
        try:
            for number in _kept(published, draft.version, content.keep):
                _carry_over(published.path / str(number), model / str(number))
            version = model / str(draft.version)
            version.mkdir()
            for file in (file for artifact in content.artifacts for file in artifact.files):
                _bring(file, published, version)
            for path in _engines(draft, published):
                disk.link_or_copy(published.path / path, model / path)
        except FileNotFoundError as error:
            raise RepositoryBusyError(f"{error.filename} vanished meanwhile; run this one again") from error
        for path, text in content.texts.items():
            (model / path).parent.mkdir(exist_ok=True)
            (model / path).write_text(text, encoding="utf-8")
        write_manifest(model, complete(draft, published, content))
        model.rename(place)
    return Entry(name=draft.name, path=place, version=draft.version, changed=True)


def write_manifest(model: Path, finished: Manifest) -> None:
    """Write the manifest of a staged model."""
    with disk.translated(model):
        (model / manifest.FILE_NAME).write_text(manifest.text(finished), encoding="utf-8")


def publish(entry: Entry, published: Published) -> Entry:
    """Put a staged model at its place in one step and return it there.

    Raises ``RepositoryBusyError`` where another run published since ``survey``, ``NotWritableError`` and
    ``DiskFullError``.
    """
    live = published.path
    with disk.translated(live.parent):
        disk.sync_tree(entry.path)
        live.parent.mkdir(parents=True, exist_ok=True)
        with disk.locked(live.parent):
            _require_same(live, published)
            if not live.exists():
                entry.path.rename(live)
            elif not disk.exchange(entry.path, live):
                _replace_in_two_steps(entry.path, live)
            disk.sync(live.parent)
    return replace(entry, path=live)


def models(repository: Path) -> tuple[str, ...]:
    """Return the names of the model folders in a repository. Raises ``BadRepositoryError`` where there are none."""
    if not repository.is_dir():
        raise BadRepositoryError(f"{repository} is no folder; make one with: kit generate model.onnx")
    found = sorted(p.name for p in repository.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not found:
        raise BadRepositoryError(f"{repository} holds no models; make one with: kit generate model.onnx")
    return tuple(found)


def _kept(published: Published, version: int, keep: int) -> list[int]:
    """Return the numbers of the old versions that stay, newest first."""
    if published.manifest is None:
        return []
    old = sorted((int(n) for n in published.manifest.versions if int(n) < version), reverse=True)
    return old[:keep]


def _engines(draft: Manifest, published: Published) -> dict[str, str]:
    """Return the engines that were built of the very version that is published once more."""
    if published.manifest is None or draft.version != published.version:
        return {}
    return contents.engines(published.path, published.manifest, draft.version, draft.targets)


def _bring(file: StoredFile, published: Published, version: Path) -> None:
    """Put a file into its version's folder: the very file where that is published already, else a copy.

    Triton compares the times of files: a model that did not change is not read again.
    """
    target, path = version / file.filename, f"{version.name}/{file.filename}"
    known = published.manifest.files.get(path) if published.manifest and not published.edited else None
    if known == file.digest:
        disk.link_or_copy(published.path / path, target)
        return
    shutil.copyfile(file.path, target)
    if file_digest(target) != file.digest:
        raise StageError(f"{file.path} was changed since it was made; delete it with: kit cache --clear")


def _carry_over(source: Path, target: Path) -> None:
    target.mkdir()
    for file in sorted(source.iterdir()):
        disk.link_or_copy(file, target / file.name)


def _require_writable(output: Path) -> None:
    """Find out before the work, not after it."""
    place = output
    while not place.exists() and place.parent != place:
        if place.is_symlink():
            raise NotWritableError(
                f"{place} is a link to {place.readlink()}, which does not exist; make that, or choose another --output"
            )
        place = place.parent
    if not place.is_dir():
        raise NotWritableError(f"{place} is a file; choose a folder with --output")
    if not os.access(place, os.W_OK | os.X_OK):
        raise NotWritableError(f"{place} cannot be written: permission denied; choose another --output")


def _require_same(live: Path, published: Published) -> None:
    path = live / manifest.FILE_NAME
    now = file_digest(path) if path.exists() else ""
    if published.digest != now or (published.manifest is None and live.exists()):
        other = manifest.read(live)
        of = f" of {other.source.name}" if other is not None else ""
        raise RepositoryBusyError(
            f"another run published {live.name}{of} meanwhile; run this one again, or give one of them another name"
        )


def _replace_in_two_steps(new: Path, live: Path) -> None:
    """Publish where folders cannot be exchanged; a kill between the steps is mended by ``_recover``."""
    aside = workspace.root(live.parent) / f"{_PREVIOUS}{live.name}"  # not in the staging folder: that is swept
    shutil.rmtree(aside, ignore_errors=True)
    live.rename(aside)
    try:
        new.rename(live)
    except OSError:
        aside.rename(live)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _recover(output: Path) -> None:
    """Put back what a run that was killed between two renames had moved aside."""
    if not output.exists():
        return
    root = workspace.root(output)
    if not any(root.glob(f"{_PREVIOUS}*")):
        return
    with disk.translated(output), disk.locked(output):  # or a run that is between the two just now
        for aside in root.glob(f"{_PREVIOUS}*"):
            live = output / aside.name.removeprefix(_PREVIOUS)
            if live.exists():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.rename(live)


def _number(item: tuple[str, str]) -> int:
    return int(item[0])
