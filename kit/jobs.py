"""What is to be made of one model, and what became of it: what spec files give and the batch takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit.pipeline import Result
from kit.planning import Options
from kit.types import Spec


@dataclass(frozen=True, kw_only=True)
class Job:
    """One model of a run, and how to make it. ``folder`` is that of the spec file."""

    spec: Spec
    options: Options
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a model was not published. ``trace`` is a traceback, for a fault of the program."""

    message: str
    exit_code: int
    trace: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job: a result, or a failure."""

    name: str
    result: Result | None = None
    failure: Failure | None = None
