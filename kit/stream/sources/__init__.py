"""Where frames come from: one file per kind of source."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from kit import axis
from kit.errors import CameraUriError, suggestion
from kit.stream.sources.interface import Source
from kit.stream.uri import CameraUri, redacted, scheme_of


def names() -> tuple[str, ...]:
    """Return the kinds of source."""
    return axis.names(__name__)


def members() -> Iterator[Source]:
    """Yield the kinds of source."""
    for name in names():
        member = axis.member(__name__, name)
        assert isinstance(member, Source)
        yield member


def resolve(text: str) -> tuple[Source, CameraUri]:
    """Return the kind of source that reads ``text``, and its parts; a bare path is a file, a folder or a device.

    Raises ``CameraUriError`` with the nearest right form.
    """
    text = text.strip()
    scheme = scheme_of(text)
    if scheme is None:
        text = _with_scheme(text)
        scheme = scheme_of(text)
    for source in members():
        if scheme in source.schemes:
            uri = source.parse(text)
            _check_options(source, uri)
            return source, uri
    raise _unknown(text, scheme or "")


def _unknown(text: str, scheme: str) -> CameraUriError:
    """Say what somebody means whose scheme is none of ours: a host with a port or a password has a colon, too."""
    shown = redacted(text)
    if re.match(r"[^/\s]*:(\d{2,5}(/|$)|[^/\s]*@)", text):
        return CameraUriError(f'"{shown}" has no scheme; did you mean rtsp://{shown} or http://{shown}?')
    forms = {scheme: source.forms[0] for source in members() for scheme in source.schemes}
    near = difflib.get_close_matches(scheme, forms, n=1, cutoff=0.5)
    meant = f"did you mean {forms[near[0]]}? " if near else ""
    return CameraUriError(f'no source reads "{scheme}:"; {meant}choose from {", ".join(f"{name}:" for name in forms)}')


def _with_scheme(text: str) -> str:
    for source in members():
        if guessed := source.guess(text):
            return guessed
    shown = redacted(text)
    if text.isdigit():
        raise CameraUriError(f'"{shown}" is no camera; did you mean v4l2:///dev/video{text} or csi://{text}?')
    if re.match(r"([^/\s]*@)?[\w-]+(\.[\w-]+)+(:\d+)?(/|$)", text) and not re.search(r"\.\w{2,4}$", text):
        raise CameraUriError(f'"{shown}" is no file; did you mean rtsp://{shown} or http://{shown}?')
    forms = ", ".join(source.forms[0] for source in members())
    raise CameraUriError(f'there is no file, folder or device "{shown}"; look at the path, or write one of {forms}')


def _check_options(source: Source, uri: CameraUri) -> None:
    known = {option.name: option for option in source.options}
    for name, value in uri.options.items():
        if name not in known:
            choices = suggestion(name, known) if known else "it takes none"
            raise CameraUriError(f'"{uri}" has no option "{name}"; {choices}')
        option = known[name]
        if not re.fullmatch(option.pattern, value):
            raise CameraUriError(
                f'"{name}={redacted(value)}" of "{uri}" is wrong; {suggestion(value, option.examples)}'
            )
