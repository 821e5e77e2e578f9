"""Where a camera is, in one line of text; what is secret in it is never shown.

    rtsp://user:password@host:554/path    whatever the camera's own address is; options of the kit follow a #
    file:video.mp4#loop=yes               SCHEME:PLACE#OPTION=VALUE&OPTION=VALUE
    test://30fps?size=640x480             for schemes that are the kit's own, ? does as well

Credentials are percent-encoded as in every URL (RFC 3986, section 3.2.1): ``@`` is ``%40``, ``:`` is ``%3A``, ``/`` is
``%2F``. An ``@`` or ``:`` that was left as it is, is understood all the same.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from kit.errors import CameraUriError

HIDDEN = "***"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?!\\)")
_OPTIONS = re.compile(r"[A-Za-z_]+=[^&#]*(&[A-Za-z_]+=[^&#]*)*")
_CREDENTIALS = re.compile(r"(?<=://)[^\s\"']*@|[^\s\"'/@:]*:(?!//)[^\s\"']*@")
_SECRET_VALUE = re.compile(
    r"(?i)\b([\w.-]*(?:pass|pwd|pw|token|secret|key|auth|sig|user|login|account)[\w.-]*)"  # a name of a value
    r"(\s*=\s*)(\"[^\"]*\"|'[^']*'|[^\s&#]+)"
)


class Secret:
    """Text that is printed as ``***``; ``reveal`` is for the library that connects, and for nothing else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, kw_only=True)
class CameraUri:
    """A camera's address and the kit's options for it; its ``str`` and ``repr`` hold no credentials."""

    scheme: str
    place: str
    """What follows the scheme, fit for a message."""
    address: Secret
    """What the library opens: the whole URL, credentials included; the bare place for the kit's own schemes."""
    options: Mapping[str, str] = field(default_factory=dict)
    credentials: tuple[Secret, ...] = ()
    """Every text that must not be shown, as it is written and as it is meant."""

    def __str__(self) -> str:
        return f"{self.scheme}:{self.place}"

    def redact(self, text: str) -> str:
        """Return ``text`` (a foreign library's message) without what is secret in this address."""
        for secret in sorted({s.reveal() for s in self.credentials} - {""}, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return redacted(text)


def redacted(text: str) -> str:
    """Return ``text`` without what looks like credentials: ``user:password@``, ``token=...``, ``user-pw=...``."""
    return _SECRET_VALUE.sub(rf"\1\2{HIDDEN}", _CREDENTIALS.sub(f"{HIDDEN}@", text))


def scheme_of(text: str) -> str | None:
    """Return the scheme of ``text`` in lower case, or None where it has none: a path."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else None


def network_uri(text: str) -> CameraUri:
    """Parse ``scheme://[user[:password]@]host[:port]/path[?query][#options]``; the query is the camera's own.

    Raises ``CameraUriError`` where there is no host, or a port that is no number.
    """
    scheme, rest = text.split(":", 1)
    scheme = scheme.lower()
    shown = redacted(text)
    if not rest.startswith("//"):
        raise CameraUriError(f'"{shown}" lacks two slashes; write {scheme}://{redacted(rest.lstrip("/"))}')
    rest, options = split_options(rest[2:], "#")
    authority, slash, path = _split_authority(rest)
    userinfo, at, host = authority.rpartition("@")
    if _password_is_cut(at, slash, path):
        raise CameraUriError(
            f'the password in "{shown}" is cut; write "/" in it as %2F, "?" as %3F: {scheme}://user:pass%2Fword@host/path'
        )
    _check_host(host, scheme, shown)
    user, colon, password = userinfo.partition(":")
    quoted = f"{_quoted(user)}{colon}{_quoted(password)}{at}"
    query = [value for _, _, value in _SECRET_VALUE.findall(path)]
    secrets = (userinfo, quoted, password, _quoted(password), urllib.parse.unquote(password), *query)
    return CameraUri(
        scheme=scheme,
        place=redacted(f"//{HIDDEN + '@' if at else ''}{host}{slash}{path}"),
        address=Secret(f"{scheme}://{quoted}{host}{slash}{path}"),
        options=options,
        credentials=tuple(Secret(s) for s in secrets),
    )


def own_uri(text: str, *, separators: str = "#?") -> CameraUri:
    """Parse ``scheme:place`` or ``scheme://place``, the kit's own schemes, with options after one of ``separators``."""
    scheme, rest = text.split(":", 1)
    place, options = split_options(rest, separators)
    return CameraUri(scheme=scheme.lower(), place=redacted(place), address=Secret(place), options=options)


def split_options(text: str, separators: str) -> tuple[str, Mapping[str, str]]:
    """Split ``place#a=1&b=2``; where what follows the separator has not that form, it belongs to the place.

    Raises ``CameraUriError`` for an option that is given twice.
    """
    if not separators:
        return text, {}
    place, found, rest = _last(text, separators)
    if not found or not _OPTIONS.fullmatch(rest):
        return text, {}
    options: dict[str, str] = {}
    for part in rest.split("&"):
        key, _, value = part.partition("=")
        if key.lower() in options:
            raise CameraUriError(f'the option {key} is given twice in "{redacted(text)}"; keep one')
        options[key.lower()] = urllib.parse.unquote(value)
    return place, options


def _last(text: str, separators: str) -> tuple[str, bool, str]:
    position = max(text.rfind(s) for s in separators)
    return (text, False, "") if position < 0 else (text[:position], True, text[position + 1 :])


def _split_authority(text: str) -> tuple[str, str, str]:
    """Split at the first slash, or at a question mark before it."""
    match = re.search(r"[/?]", text)
    return (text, "", "") if match is None else (text[: match.start()], match[0], text[match.end() :])


def _password_is_cut(at: str, slash: str, path: str) -> bool:
    """Whether an ``@`` stands where none belongs, because a password's own ``/`` or ``?`` ended it too early."""
    return "@" in (path if slash == "?" and not at else path.partition("?")[0])


def _check_host(host: str, scheme: str, shown: str) -> None:
    name, _, port = host.rpartition(":") if re.search(r":[^\]]*$", host) else (host, "", "")
    if not name:
        raise CameraUriError(f'"{shown}" names no host; write {scheme}://host:554/path')
    if port and not (port.isdigit() and 0 < int(port) < 2**16):
        raise CameraUriError(f'the port of "{shown}" is no number from 1 to 65535; write {scheme}://{name}:554/path')


def _quoted(text: str) -> str:
    """Percent-encode whatever is not; a percent sign that begins no code is one itself."""
    parts = re.split(r"(%[0-9A-Fa-f]{2})", text)
    return "".join(part if n % 2 else urllib.parse.quote(part, safe="") for n, part in enumerate(parts))
