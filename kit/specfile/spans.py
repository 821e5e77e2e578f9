"""A YAML text as parts that know where they begin and end in it, to the character: for changing a few of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

    from kit.document import Events


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a text: characters ``start`` to ``end``; ``line`` counts from 1, ``column`` from 0.

    ``shared``: an anchor stands before it, or it is an alias; what is changed there changes elsewhere, or is gone.
    """

    start: int
    end: int
    line: int
    column: int
    shared: bool = False
    alias: bool = False

    @property
    def last(self) -> int:
        """Where its last character stands that is no remark."""
        return self.end


@dataclass(frozen=True, kw_only=True)
class Leaf(Span):
    """A scalar, or an alias."""

    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Branch(Span):
    """Keys and their values, or the items of a list, which have no keys. ``flow``: in braces or brackets."""

    flow: bool
    keys: tuple[Leaf, ...] = ()
    values: tuple[Span, ...] = ()

    @property
    def last(self) -> int:
        """Of a block, where its last value ends: the block itself ends where the next thing begins."""
        return self.end if self.flow or not self.values else self.values[-1].last

    def get(self, key: str) -> Span | None:
        """Return the value of a key."""
        return next((value for name, value in zip(self.keys, self.values, strict=True) if name.text == key), None)


def read(text: str) -> Span:
    """Return the root of a document that ``kit.document`` has found in order, with at least one part."""
    import yaml

    events = yaml.parse(text, Loader=yaml.SafeLoader)
    first = next(event for event in events if isinstance(event, yaml.NodeEvent))
    return _span(first, events)


def _span(event: yaml.Event, events: Events) -> Span:
    import yaml

    begin, end = event.start_mark, event.end_mark
    assert begin is not None
    assert end is not None
    shared = bool(getattr(event, "anchor", None))
    if isinstance(event, yaml.AliasEvent):
        return Leaf(
            start=begin.index, end=end.index, line=begin.line + 1, column=begin.column, shared=True, alias=True
        )  # fmt: skip
    if isinstance(event, yaml.ScalarEvent):
        return Leaf(
            start=begin.index, end=end.index, line=begin.line + 1, column=begin.column, shared=shared, text=event.value
        )  # fmt: skip
    assert isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent))
    parts, closed = _parts(events)
    listed = isinstance(event, yaml.SequenceStartEvent)
    return Branch(
        start=begin.index, end=closed, line=begin.line + 1, column=begin.column, shared=shared,
        flow=bool(event.flow_style), keys=() if listed else tuple(p for p in parts[::2] if isinstance(p, Leaf)),
        values=tuple(parts if listed else parts[1::2]),
    )  # fmt: skip


def _parts(events: Iterator[yaml.Event]) -> tuple[list[Span], int]:
    """Return what stands inside, and where it is closed."""
    import yaml

    parts: list[Span] = []
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            assert event.end_mark is not None
            return parts, event.end_mark.index
        parts.append(_span(event, events))
    raise AssertionError("a parser closes what it opens")
