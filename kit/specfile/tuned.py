"""A tuning and what came of it in one document; its result is put into the spec file where it holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kit import manifest
from kit.errors import KitError
from kit.specfile import applying
from kit.specfile.applying import Wanted
from kit.tune import document, settings
from kit.tune.document import Applied, Document, Told, Written
from kit.tune.values import Found, Job
from kit.types import Serving


def begin(job: Job, spec: Path | None) -> tuple[Job, Wanted | None]:
    """Return a job with the targets that a spec file knows, and the spec's model, which must be made for its target.

    Raises as ``applying.find`` does.
    """
    if spec is None:
        return job, None
    wanted = applying.find(spec, job.model, job.target, job.target_folders)
    return replace(job, target_folders=wanted.job.options.target_folders), wanted


def conclude(job: Job, found: Found, wanted: Wanted | None) -> tuple[Document, KitError | None]:
    """Return all that is told, and the error with which a spec file could not be written.

    Nothing is written of what does not hold, or was broken off before it was confirmed.
    """
    serving = settings.serving(job, found.best.candidate) if found.best is not None else Serving()
    applied, failure = (None, None) if wanted is None else _apply(found, wanted, serving)
    known = manifest.read(job.repository / job.model)
    told = Told(
        settings=applying.lines(serving), applied=applied, targets=() if known is None else tuple(known.targets)
    )  # fmt: skip
    return document.of(job, found, told), failure


def _apply(found: Found, wanted: Wanted, serving: Serving) -> tuple[Applied, KitError | None]:
    spec = str(wanted.path)
    if found.interrupted:
        return Applied(spec=spec, refused="it was interrupted before it was known"), None
    if not found.holds:
        return Applied(spec=spec, refused="nothing holds what is needed"), None
    try:
        changes = applying.apply(wanted, serving)
    except KitError as error:
        return Applied(spec=spec, refused=str(error)), error
    written = tuple(Written(key=c.key, before=c.before, after=c.after, line=c.line) for c in changes)
    return Applied(spec=spec, written=written), None
