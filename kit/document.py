"""A YAML text as a tree in which every part knows its line and column.

Not what YAML 1.1 would make of a word (``no`` false, ``012`` ten, ``2026-11-22`` a date): scalars stay the text that
was written, and who knows what is expected reads them. Nothing is ever constructed, so no
tag runs anything; what is shared by an alias stays shared, so that nothing can be blown up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import yaml

_DEEPEST = 20
_NULL = ("", "~", "null", "Null", "NULL")
_CORE = "tag:yaml.org,2002:"
_HARMLESS = ("!", *(f"{_CORE}{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map")))


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a file of one sort is called where its form is wrong, and what to do there."""

    name: str
    levels: str
    together: str
    shared: str


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """Something wrong at a place: line and column count from 1."""

    line: int
    column: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Node:
    """A part of the document, and where it begins."""

    line: int
    column: int

    def problem(self, text: str) -> Problem:
        """Return a problem at this place."""
        return Problem(line=self.line, column=self.column, text=text)


@dataclass(frozen=True, kw_only=True)
class Scalar(Node):
    """A value as it was written; ``quoted`` says that it is meant as text."""

    text: str
    quoted: bool

    @property
    def empty(self) -> bool:
        """Whether nothing was said: the key stands alone, or has ``null`` or ``~``."""
        return not self.quoted and self.text in _NULL


@dataclass(frozen=True, kw_only=True)
class Items(Node):
    """A list."""

    items: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class Pairs(Node):
    """Keys, each with the place where it stands, and their values; no key twice."""

    pairs: tuple[tuple[Scalar, Node], ...]


_SYNTAX = {
    "\\t": "a tab; YAML indents with spaces",
    "mapping values are not allowed": (
        'a ":" that belongs to no key; put the value in quotes, or a space after the ":" above'
    ),
    "cannot start any token": "cannot begin a value; put it in quotes",
    "expected alphabetic or numeric character": '"*" and "&" stand before names of what is shared; put it in quotes',
    "expected <block end>": "indented otherwise than what it belongs to; keys of one thing begin in one column",
    "could not find expected ':'": 'the line before has no ": " between key and value',
}
"""What PyYAML says, in words of its parser, and what that means to who writes."""

Events: TypeAlias = "Iterator[yaml.Event]"


def parse(text: str, words: Words) -> tuple[Node | None, tuple[Problem, ...]]:
    """Return the document, None where there is none or it cannot be read on, and what is wrong with its form."""
    import yaml

    builder = _Builder(words=words)
    try:
        return builder.document(yaml.parse(text, Loader=yaml.SafeLoader)), tuple(builder.problems)
    except _TooDeepError as error:
        return None, (*builder.problems, error.args[0])
    except yaml.MarkedYAMLError as error:
        return None, (*builder.problems, _syntax(error))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
        said = f"the character U+{ord(text[error.position]):04X} may not stand in YAML; delete it"
        return None, (*builder.problems, Problem(line=line, column=column, text=said))


class _TooDeepError(Exception):
    """The document is nested deeper than any file of ours."""


@dataclass
class _Builder:
    """Makes nodes of a parser's events. What an alias names is shared, not copied."""

    words: Words
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)

    def document(self, events: Events) -> Node | None:
        """Return the root of the only document."""
        import yaml

        root = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    at = _place(event)
                    self.problems.append(at.problem(f"a second document begins; write {self.words.together} into one"))
                    break
                root = self._node(next(events), events, 0)
        return root

    def _node(self, event: yaml.Event, events: Events, depth: int) -> Node:
        import yaml

        at = _place(event)
        if depth > _DEEPEST:
            raise _TooDeepError(
                at.problem(f"nested deeper than {_DEEPEST} levels; {self.words.name} has {self.words.levels}")
            )
        if isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            if name not in self.anchors:
                self.problems.append(at.problem(f"*{name}: nothing before this place is named &{name}"))
            return self.anchors.get(name, at)
        assert isinstance(event, yaml.NodeEvent)
        made = self._made(event, events, at, depth)
        if event.anchor:
            self.anchors[event.anchor] = made
        return made

    def _made(self, event: yaml.NodeEvent, events: Events, at: Node, depth: int) -> Node:
        import yaml

        tag = getattr(event, "tag", None)
        if tag is not None and tag not in _HARMLESS:
            shown = tag.replace(_CORE, "!!")
            self.problems.append(at.problem(f"the tag {shown} means nothing in {self.words.name}; delete it"))
        if isinstance(event, yaml.ScalarEvent):
            quoted = event.style is not None or tag == f"{_CORE}str"
            return Scalar(line=at.line, column=at.column, text=event.value, quoted=quoted)
        inside = self._children(events, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(line=at.line, column=at.column, items=tuple(inside))
        return Pairs(line=at.line, column=at.column, pairs=tuple(self._pairs(inside)))

    def _children(self, events: Events, depth: int) -> Iterator[Node]:
        import yaml

        for event in events:
            if isinstance(event, yaml.CollectionEndEvent):
                return
            yield self._node(event, events, depth + 1)

    def _pairs(self, inside: Iterator[Node]) -> Iterator[tuple[Scalar, Node]]:
        first: dict[str, int] = {}
        for key in inside:
            value = next(inside)
            if not isinstance(key, Scalar):
                self.problems.append(key.problem("a key must be a word"))
            elif key.text == "<<" and not key.quoted:
                self.problems.append(key.problem(f"<< is no key; {self.words.shared}"))
            elif key.text in first:
                self.problems.append(key.problem(f"{key.text} stands here already, in line {first[key.text]}"))
            else:
                first[key.text] = key.line
                yield key, value


def _place(event: yaml.Event) -> Node:
    mark = event.start_mark
    assert mark is not None
    return Node(line=mark.line + 1, column=mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    """Say in our words what PyYAML says in its own, where its are those of a parser."""
    mark = error.problem_mark or error.context_mark
    line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
    words = " ".join((error.problem or "").split())
    ours = next((ours for theirs, ours in _SYNTAX.items() if theirs in words), f"no YAML: {words}")
    if "cannot start any token" in words and "\\t" not in words:
        ours = f"{words.partition('character ')[2].partition(' ')[0]} {ours}"
    return Problem(line=line, column=column, text=ours)
