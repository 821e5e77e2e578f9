"""What this machine lacks, or files of ours that say what it has."""

from __future__ import annotations

import errno

from kit.errors.base import KitError
from kit.errors.repository import DiskFullError, NotWritableError


class OutputUnavailableError(KitError):
    """Results cannot be shown as asked: there is no display, or a library without windows."""

    exit_code = 85


class CamerasFileError(KitError):
    """A file of cameras is wrong; the message lists every mistake with its line and column."""

    exit_code = 86
    listed = True


class MissingExtraError(KitError):
    """An optional dependency is not installed."""

    exit_code = 60

    def __init__(self, package: str, extra: str | None, purpose: str, otherwise: str = "") -> None:
        """Say which ``extra`` brings ``package`` (None: it is the user's own), and what it is needed for.

        ``otherwise`` is what would do instead.
        """
        wanted = package if extra is None else f"'triton-edge-kit[{extra}]'"
        rest = f"; or {otherwise}" if otherwise else ""
        super().__init__(f"{purpose} needs {package}, which is not installed; run: pip install {wanted}{rest}")


class TargetFileError(KitError):
    """A target's TOML file is wrong."""

    exit_code = 61
    listed = True


class OutOfMemoryError(KitError):
    """The machine has less memory than the model needs."""

    exit_code = 63


class ToolEnvironmentError(KitError):
    """The environment of a tool that runs outside the kit's own cannot be made, or does not work."""

    exit_code = 87


def of_system(error: Exception) -> KitError | None:
    """Return what an error of the operating system is to a user, wherever it arises; None for a fault of ours."""
    if isinstance(error, MemoryError):
        reason = str(error) or "the system gave none"
        return OutOfMemoryError(f"not enough memory ({reason}); lower --max-batch-size, or use a larger machine")
    if isinstance(error, PermissionError) and error.filename is not None:
        return NotWritableError(f"{error.filename}: permission denied; ask for it, or choose another place")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DiskFullError("no space left for the output or for temporary files; free some, or set TMPDIR")
    return None
