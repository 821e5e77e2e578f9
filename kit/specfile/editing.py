"""Values are put into a spec file and nothing else of it is touched: remarks, order, quotes and blank lines stay.

Characters are replaced at places that the parser gives. What comes of it is read again and must be the document that
was there but for those values, or nothing is written. See docs/adr/0020-tuning.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kit.document import Items, Node, Pairs, Scalar
from kit.errors import TuneError
from kit.specfile import document, spans
from kit.specfile.spans import Branch, Leaf, Span
from kit.specfile.writing import quoted

_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
Plain: TypeAlias = "str | list[Plain] | dict[str, Plain]"
"""What a document says, wherever it says it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The item of ``models`` whose keys are meant; with ``target``, those below it in ``per_target``."""

    model: int
    target: str | None = None


class _UnfitError(Exception):
    """The text is built in a way in which a value cannot be put there, or not for one alone."""


def put(text: str, place: Place, values: Mapping[str, str]) -> str:
    """Return the text with ``values``, by key, at a place; those that are there are replaced.

    Raises ``TuneError``, with the lines to write by hand, where the text is built in a way that it cannot be done.
    """
    expected, made = _plain(document.parse(text)[0]), text
    try:
        for key, value in values.items():
            made, expected = _put(made, place, key, value), _expected(expected, place, key, value)
            _require(made, expected)
    except _UnfitError as error:
        raise TuneError(f"{error}; {by_hand(place, values)}") from error
    return made


def _require(text: str, expected: Plain) -> None:
    root, wrong = document.parse(text)
    if wrong or _plain(root) != expected:
        raise _UnfitError("the spec is written in a way that nothing could be put there")


def by_hand(place: Place, values: Mapping[str, str]) -> str:
    """Return what to write, in a phrase."""
    said = ", ".join(f"{key}: {value}" for key, value in values.items())
    return f"write yourself, at the model: {said if place.target is None else _below(place.target, values)}"


def line_of(text: str, place: Place, key: str) -> int:
    """Return the line in which a key of a place stands, from 1."""
    found: Span = _model(spans.read(text), place)
    for name in (*(("per_target", place.target) if place.target is not None else ()), key):
        if isinstance(found, Branch):
            found = next((v for k, v in zip(found.keys, found.values, strict=True) if k.text == name), found)
    return found.line


def _put(text: str, place: Place, key: str, value: str) -> str:
    model = _model(spans.read(text), place)
    if place.target is None:
        return _in(text, model, key, value)
    apart = model.get("per_target")
    if apart is None or _is_empty(apart):
        return _in(text, model, "per_target", f"{{{quoted(place.target)}: {{{key}: {value}}}}}")
    targets = _own(apart)
    one = targets.get(place.target)
    if one is None or _is_empty(one):
        return _in(text, targets, place.target, f"{{{key}: {value}}}")
    return _in(text, _own(one), key, value)


def _model(root: Span, place: Place) -> Branch:
    models = root.get("models") if isinstance(root, Branch) else None
    assert models is not None
    return _own(_own(models).values[place.model])


def _own(span: Span) -> Branch:
    """Return keys or items that belong to one alone."""
    if span.shared or not isinstance(span, Branch):
        raise _shared(span)
    return span


def _shared(span: Span) -> _UnfitError:
    return _UnfitError(f"line {span.line} is shared by & and * in the spec")


def _is_empty(span: Span) -> bool:
    return isinstance(span, Leaf) and not span.shared and span.text in ("", "~", "null", "Null", "NULL")


def _in(text: str, branch: Branch, key: str, value: str) -> str:
    """Put a value at a key of a branch: over the one that is there, else behind what is there."""
    there = branch.get(key)
    if there is not None:
        if there.shared and not there.alias:
            raise _shared(there)
        space = " " if text[there.start - 1 : there.start] == ":" else ""
        return text[: there.start] + space + value + text[there.end :]
    said = f"{quoted(key)}: {value}"
    if branch.flow:
        at = branch.values[-1].last if branch.values else branch.start + 1
        return text[:at] + (f", {said}" if branch.values else said) + text[at:]
    return _commented(text, branch, key, said) or _behind(text, branch, said)


def _commented(text: str, branch: Branch, key: str, said: str) -> str | None:
    """Say what ``kit init`` has left as a remark (``#key: value``), in its place; None where it has not."""
    left = rf"^{' ' * branch.column}#{re.escape(key)}: (?:[^\s{{]+|{{[^\r\n]*}})(?=[ \t]*\r?$)"
    found = re.compile(left, re.MULTILINE).search(text, branch.start, branch.end)
    return None if found is None else text[: found.start()] + " " * branch.column + said + text[found.end() :]


def _behind(text: str, branch: Branch, said: str) -> str:
    """Add a line behind the last one of a block."""
    own, last = " " * branch.column + said, branch.last
    newline = "\r\n" if "\r\n" in text else "\n"
    if last == 0 or _BREAK.match(text, last - 1):  # text with | or > ends with its line
        return text[:last] + own + newline + text[last:]
    found = _BREAK.search(text, last)
    if found is None:
        return text + newline + own + newline
    return text[: found.end()] + own + newline + text[found.end() :]


def _plain(node: Node | None) -> Plain:
    if isinstance(node, Items):
        return [_plain(item) for item in node.items]
    if isinstance(node, Pairs):
        return {key.text: _plain(value) for key, value in node.pairs}
    return repr((node.text, node.quoted)) if isinstance(node, Scalar) and not node.empty else ""


def _expected(before: Plain, place: Place, key: str, value: str) -> Plain:
    """Return what a document is to say when a value stands at a place."""
    assert isinstance(before, dict)
    models = before["models"]
    assert isinstance(models, list)
    path = (key,) if place.target is None else ("per_target", place.target, key)
    changed = [_with(model, path, value) if n == place.model else model for n, model in enumerate(models)]
    return {**before, "models": list(changed)}


def _with(there: Plain, path: Sequence[str], value: str) -> Plain:
    if not path:
        return repr((value, False))
    keys = there if isinstance(there, dict) else {}
    return {**keys, path[0]: _with(keys.get(path[0], {}), path[1:], value)}


def _below(target: str, values: Mapping[str, str]) -> str:
    said = ", ".join(f"{key}: {value}" for key, value in values.items())
    return f"per_target: {{{quoted(target)}: {{{said}}}}}"
