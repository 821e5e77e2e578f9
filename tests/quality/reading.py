"""A page as a browser takes it apart: what is read, what is pointed at, what it would fetch or run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from kit.quality import words

_VOID = frozenset({"meta", "link", "input", "br", "img", "hr"})
_FETCHING = frozenset({"src", "href", "action", "data", "poster", "srcset", "formaction"})


@dataclass
class Read:
    """What was found."""

    text: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    style: str = ""

    @property
    def words(self) -> str:
        """All that can be read, on the page or by pointing at it; spaces made one, signs those of a keyboard."""
        return words.ascii_signs(re.sub(r"\s+", " ", " ".join(self.text)))

    def having(self, name: str) -> list[tuple[str, dict[str, str]]]:
        """Return the tags with a word in their class."""
        return [(tag, found) for tag, found in self.tags if name in found.get("class", "").split()]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.read = Read()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> where <{self.open[-1]}> is open, line {self.getpos()[0]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            self.read.style += data
        elif "head" not in self.open:
            self.read.text.append(data)

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> says an attribute twice"
        found = {name: value or "" for name, value in attrs}
        self.read.tags.append((tag, found))
        self.read.addresses += [value for name, value in found.items() if name in _FETCHING]
        self.read.text += [found[name] for name in ("aria-label", "alt", "title") if name in found]


def read(html: str) -> Read:
    """Parse a page. Fails where a tag is not closed, or closed out of turn."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser.read
