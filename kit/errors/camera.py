"""Where frames come from."""

from __future__ import annotations

from typing import ClassVar

from kit.errors.base import KitError


class CameraError(KitError):
    """A source of frames cannot be read; the message holds no credentials."""

    permanent: ClassVar[bool] = False
    """Whether only somebody's act can mend it, so that another try soon is no use."""


class CameraUriError(CameraError):
    """No source reads this URI, or one of its options is wrong."""

    exit_code = 80
    permanent = True


class CameraNotFoundError(CameraError):
    """There is no such file, device or stream."""

    exit_code = 81
    permanent = True


class CameraRefusedError(CameraError):
    """The camera or the system refuses: credentials or permissions are wrong."""

    exit_code = 82
    permanent = True


class CameraLostError(CameraError):
    """The camera does not answer, or no longer."""

    exit_code = 83


class CameraSupportError(CameraError):
    """This machine lacks what this kind of source needs."""

    exit_code = 84
    permanent = True
