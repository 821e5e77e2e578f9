"""The folder that is written."""

from __future__ import annotations

from kit.errors.base import KitError


class RepositoryError(KitError):
    """The output folder cannot be written as asked; what stood there still stands."""


class NotWritableError(RepositoryError):
    """The output folder cannot be written."""

    exit_code = 40


class DiskFullError(RepositoryError):
    """The disk is full."""

    exit_code = 41


class ForeignRepositoryError(RepositoryError):
    """The output folder holds files that the kit did not write."""

    exit_code = 42


class EditedRepositoryError(RepositoryError):
    """Files that the kit wrote were changed since."""

    exit_code = 43


class RepositoryBusyError(RepositoryError):
    """Another run is writing to the same repository."""

    exit_code = 44


class BadRepositoryError(RepositoryError):
    """The folder to read is not a model repository."""

    exit_code = 45
