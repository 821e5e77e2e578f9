"""What a tuning found is put into a spec file: at the model, or in ``per_target`` where it has several targets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kit import disk, runtimes, targets
from kit.errors import NotWritableError, TuneError, suggestion
from kit.jobs import Job
from kit.specfile import document, editing, plan
from kit.specfile.editing import Place
from kit.specfile.fields import BATCHING, KIND
from kit.specfile.plan import Override
from kit.targets.values import Target
from kit.types import Serving

_REMEDY = "make room, or make it one that can be written"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A key that was written: in which line it stands now, and what held before, in words of the spec."""

    key: str
    before: str
    after: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A model of a spec file, and one of its targets. ``number`` counts the models from 0."""

    path: Path
    job: Job
    number: int
    target: Target

    @property
    def place(self) -> Place:
        """Where its values belong."""
        spec = self.job.spec
        alone = spec.targets == (self.target.name,) and self.target.name not in spec.per_target
        return Place(model=self.number, target=None if alone else self.target.name)


def find(path: Path, model: str, target: str, folders: tuple[Path, ...] = ()) -> Wanted:
    """Return the model of a spec file that has a name, which must be made for a target.

    ``folders`` hold targets of the user's, beside those that the spec names.

    Raises ``SourceNotFoundError``, ``InvalidSpecError`` with every mistake, ``TuneError``, and ``NotWritableError``
    where the file could not be replaced.
    """
    jobs = plan.jobs(path, _with(folders))
    names = [job.spec.name for job in jobs]
    if model not in names:
        raise TuneError(f'{path} makes no model "{model}"; {suggestion(model, names)}')
    number = names.index(model)
    job = jobs[number]
    if target not in job.spec.targets:
        raise TuneError(f"{path} makes {model} for {', '.join(job.spec.targets)}, not for {target}; add it to targets")
    if not os.access(path.resolve().parent, os.W_OK):
        raise NotWritableError(f"{path} cannot be replaced, for its folder cannot be written; {_REMEDY}")
    return Wanted(path=path, job=job, number=number, target=targets.load(target, job.options.target_folders))


def apply(wanted: Wanted, serving: Serving) -> tuple[Change, ...]:
    """Write what of ``serving`` does not hold already; the file is replaced in one step. Return what was written.

    Raises ``TuneError`` where the file cannot be changed without a change of something else, ``InvalidSpecError``
    where the target has not what is to be written, ``DiskFullError`` and ``NotWritableError``.
    """
    folders = wanted.job.options.target_folders
    path, fresh = wanted.path.resolve(), find(wanted.path, wanted.job.spec.name, wanted.target.name, folders)
    asked = {key: (before, after) for key, before, after in _differences(fresh, serving)}
    if not asked:
        return ()
    text = document.text_of(path)
    made = editing.put(text, fresh.place, {key: after for key, (_, after) in asked.items()})
    _write(path, made, fresh)
    return tuple(
        Change(key=key, before=before, after=after, line=editing.line_of(made, fresh.place, key))
        for key, (before, after) in asked.items()
    )


def lines(serving: Serving) -> Mapping[str, str]:
    """Return what a spec says for ``serving``, by key; with ``-`` for ``_`` they are ``kit generate``'s options."""
    given = serving.given
    return {key.name: str(given[key.sets]) for key in (*KIND, *BATCHING) if key.sets in given}


def _differences(wanted: Wanted, serving: Serving) -> Iterator[tuple[str, str, str]]:
    """Yield each key that is to be written, what holds now, and what is to hold."""
    spec, target = wanted.job.spec.on(wanted.target.name), wanted.target
    for key in (*KIND, *BATCHING):
        after = getattr(serving, key.sets)
        said = getattr(spec, key.sets)
        held = _default(target, key.sets) if said is None else said
        if after is not None and after != held:
            yield key.name, str(held), str(after)


def _with(folders: tuple[Path, ...]) -> tuple[Override, ...]:
    return (Override(option="--targets", attribute="target_folders", value=folders),) if folders else ()


def _default(target: Target, attribute: str) -> object:
    return runtimes.choose(target).name if attribute == "runtime" else getattr(target.defaults, attribute)


def _write(path: Path, text: str, wanted: Wanted) -> None:
    """Put the text in the file's place, once it has been read as a spec."""
    plan.jobs(wanted.path, _with(wanted.job.options.target_folders), text=text)
    partial = path.with_name(f".{path.name}.partial")
    mark = b"\xef\xbb\xbf" if path.read_bytes().startswith(b"\xef\xbb\xbf") else b""
    with disk.translated(path, _REMEDY):
        try:
            partial.write_bytes(mark + text.encode("utf-8"))
            shutil.copymode(path, partial)
            disk.sync(partial)
            os.replace(partial, path)  # noqa: PTH105 (of one folder, in one step)
            disk.sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)
