"""Where frames come from: one file per kind of source."""

from __future__ import annotations

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
    assert scheme is not None
    raise CameraUriError(f'no source reads "{scheme}:"; {suggestion(scheme, _forms())}')


def _with_scheme(text: str) -> str:
    for source in members():
        if guessed := source.guess(text):
            return guessed
    shown = redacted(text)
    if text.isdigit():
        raise CameraUriError(f'"{shown}" is no camera; did you mean v4l2:///dev/video{text} or csi://{text}?')
    if re.match(r"([^/\s]*@)?[\w-]+(\.[\w-]+)+(:\d+)?(/|$)", text) and not re.search(r"\.\w{2,4}$", text):
        raise CameraUriError(f'"{shown}" is no file; did you mean rtsp://{shown} or http://{shown}?')
    raise CameraUriError(f'"{shown}" is no file, folder or device; give one, or one of {", ".join(_examples())}')


def _forms() -> dict[str, None]:
    """Every scheme, as the beginning of a URI of it."""
    found: dict[str, None] = {}
    for source in members():
        for scheme in source.schemes:
            found[scheme + (source.forms[0].partition(":")[1] or ":")] = None
    return found


def _examples() -> Iterator[str]:
    for source in members():
        yield source.forms[0]


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
