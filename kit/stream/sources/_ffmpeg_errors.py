"""FFmpeg's errors as ours: what somebody must mend is told from what may pass by itself."""

from __future__ import annotations

import errno
import socket
import urllib.parse
from typing import Any

from kit.errors import (
    CameraError,
    CameraLostError,
    CameraNotFoundError,
    CameraRefusedError,
    CameraSupportError,
    CameraUriError,
)
from kit.stream.uri import CameraUri

MESSAGES: tuple[tuple[str, type[CameraError], str], ...] = (
    ("HTTPUnauthorizedError", CameraRefusedError,
     "refuses the user name or password (401); write {scheme}://user:password@host/path"),
    ("HTTPForbiddenError", CameraRefusedError, "refuses this user (403); give one that may see it"),
    ("HTTPNotFoundError", CameraNotFoundError, "is not on that camera (404); look up its path"),
    ("FileNotFoundError", CameraNotFoundError, "is not there; look at the path, or plug the device in"),
    ("PermissionError", CameraRefusedError, "may not be read; give this user permission, or the group video"),
    ("IsADirectoryError", CameraUriError, "is a folder; write dir:FOLDER for the images in it"),
    ("ProtocolNotFoundError", CameraSupportError, "has a protocol that this FFmpeg was built without"),
    ("ConnectionRefusedError", CameraLostError, "refuses connections; nothing listens there yet"),
    ("ExitError", CameraLostError, "sent nothing{within}"),
    ("TimeoutError", CameraLostError, "sent nothing{within}"),
)  # fmt: skip
"""By the names in ``av.error``."""


def translated(error: Any, uri: CameraUri, *, opened: bool, timeout_s: float | None = None) -> CameraError:
    """Return what to raise for an ``av.FFmpegError``; nothing in it holds credentials."""
    from av import error as kinds

    within = "" if timeout_s is None else f" within {timeout_s:g} s"
    for name, kind, said in MESSAGES:
        if isinstance(error, getattr(kinds, name)):
            return kind(f"{uri} {said.format(scheme=uri.scheme, within=within)}")
    if error.errno == errno.EPROTONOSUPPORT:
        return CameraLostError(f"{uri} does not offer this transport; try #transport=tcp or #transport=udp")
    if error.errno == errno.EIO and not opened and (host := _unknown_host(uri)):
        return CameraLostError(f'{uri}: no address is known for the host "{host}"; look at its name, and at DNS')
    if isinstance(error, kinds.InvalidDataError) and not opened and uri.scheme == "file":
        return CameraNotFoundError(f"{uri} is no video that FFmpeg knows; give an MP4, MKV, AVI or the like")
    return CameraLostError(f"{uri} cannot be {'read on' if opened else 'opened'}: {uri.redact(error.strerror or '?')}")


def _unknown_host(uri: CameraUri) -> str | None:
    """Return the host that has no address; FFmpeg calls that an input/output error."""
    host = urllib.parse.urlsplit(uri.address.reveal()).hostname if uri.place.startswith("//") else None
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return host
    return None
