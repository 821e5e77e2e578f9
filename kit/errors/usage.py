"""The command line or the spec says something that cannot be."""

from __future__ import annotations

from kit.errors.base import KitError


class UsageError(KitError):
    """The command line or the spec says something that cannot be."""

    exit_code = 2


class UnknownTargetError(UsageError):
    """No target has this name."""

    exit_code = 20


class UnknownTaskError(UsageError):
    """No task has this name."""

    exit_code = 21


class UnknownPrecisionError(UsageError):
    """No precision has this name."""

    exit_code = 22


class InvalidModelNameError(UsageError):
    """Triton or a file system would refuse this model name."""

    exit_code = 23


class UnknownHeadError(UsageError):
    """No layout of a detector's outputs has this name, or it has no such variation."""

    exit_code = 24


class InvalidSpecError(UsageError):
    """A spec file is wrong; the message lists every problem with its line and column."""

    exit_code = 25
    listed = True


class ValidationSetError(UsageError):
    """A validation set cannot be read, or its labels do not match the model's classes."""

    exit_code = 27


class MetricError(UsageError):
    """The user's own metric cannot be imported, raised, or returned no number."""

    exit_code = 28


class LoadError(UsageError):
    """A load test cannot be made as asked: a shape, a worker, or a generator that could not start."""

    exit_code = 90


class TuneError(UsageError):
    """A tuning cannot be made as asked: options that contradict each other, or a server without model control."""

    exit_code = 91
