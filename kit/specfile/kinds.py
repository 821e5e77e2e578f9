"""How a value of a spec is read: one class for each kind, which also says the same as JSON schema.

``read`` returns the value or raises ``WrongError``; an empty value is never given to it. A kind that has parts tells
the desk what is wrong with each and returns the others.
"""

# ruff: noqa: ARG002 (not every kind asks the desk)

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from kit.document import Items, Node, Pairs, Scalar
from kit.errors import suggestion
from kit.specfile.desk import NUMBER, Desk, expected, shown, wrong

Schema: TypeAlias = "dict[str, object]"
"""A JSON schema, which is JSON and no value of ours."""

_MOST_ITEMS = 64
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_LARGESTNUMBER = 1e6


class Kind(Protocol):
    """How a value is read. ``expects`` names it in a phrase, for messages and documents."""

    @property
    def expects(self) -> str:
        """Say in a phrase what is accepted."""

    def read(self, node: Node, desk: Desk) -> object:
        """Return the value. Raises ``WrongError``."""

    def schema(self) -> Schema:
        """Return what is accepted as JSON schema."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """Words, as they are written: ``no`` is the text no, ``012`` is the text 012."""

    expects: str = "text"

    def read(self, node: Node, desk: Desk) -> str:
        """Return the text."""
        if not isinstance(node, Scalar) or not node.text.strip():
            raise expected(node, self.expects)
        if not node.text.isprintable():
            raise wrong(node, f"expected {self.expects} in one line, without control characters")
        return node.text

    def schema(self) -> Schema:
        """Return text that is not empty."""
        return {"type": "string", "pattern": r"\S"}


@dataclass(frozen=True, kw_only=True)
class Word:
    """One of some words, which are looked up when they are needed."""

    what: str
    choices: Callable[[], tuple[str, ...]]

    @property
    def expects(self) -> str:
        """Name them all."""
        *most, last = self.choices()
        return f"{', '.join(most)} or {last}" if most else last

    def read(self, node: Node, desk: Desk) -> str:
        """Return the word."""
        if isinstance(node, Scalar) and node.text in self.choices():
            return node.text
        if not isinstance(node, Scalar):
            raise expected(node, self.expects)
        raise wrong(node, f"unknown {self.what} {shown(node)}; {suggestion(node.text, self.choices())}")

    def schema(self) -> Schema:
        """Return the words."""
        return {"enum": list(self.choices())}


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A whole number in a range. ``most`` None: no limit."""

    least: int
    most: int | None = None

    @property
    def expects(self) -> str:
        """Name the range."""
        return f"a whole number from {self.least}" + ("" if self.most is None else f" to {self.most}")

    def read(self, node: Node, desk: Desk) -> int:
        """Return the number: in decimal digits, for 012 and 1_000 are read in different ways by different programs."""
        value = _number(node)
        if value is None or not value.is_integer() or not self._takes(int(value)):
            raise expected(node, self.expects)
        if isinstance(node, Scalar) and _WHOLE.fullmatch(node.text):
            return int(node.text)
        return int(value)

    def _takes(self, value: int) -> bool:
        return self.least <= value and (self.most is None or value <= self.most)

    def schema(self) -> Schema:
        """Return the range."""
        return {"type": "integer", "minimum": self.least} | ({} if self.most is None else {"maximum": self.most})


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number in a range, whose ends may be left out."""

    least: float
    most: float
    without_least: bool = False
    without_most: bool = False

    @property
    def expects(self) -> str:
        """Name the range."""
        least = f"above {self.least:g}" if self.without_least else f"of at least {self.least:g}"
        return f"a number {least} and {'below' if self.without_most else 'at most'} {self.most:g}"

    def read(self, node: Node, desk: Desk) -> float:
        """Return the number."""
        value = _number(node)
        if value is None or not self._takes(value):
            raise expected(node, self.expects)
        return value

    def _takes(self, value: float) -> bool:
        above = self.least < value if self.without_least else self.least <= value
        return above and (value < self.most if self.without_most else value <= self.most)

    def schema(self) -> Schema:
        """Return the range."""
        least = "exclusiveMinimum" if self.without_least else "minimum"
        most = "exclusiveMaximum" if self.without_most else "maximum"
        return {"type": "number", least: self.least, most: self.most}


@dataclass(frozen=True, kw_only=True)
class Flag:
    """True or false, and no other word of YAML 1.1."""

    expects: str = "true or false"

    def read(self, node: Node, desk: Desk) -> bool:
        """Return what it says."""
        if isinstance(node, Scalar) and not node.quoted and node.text in ("true", "True", "TRUE"):
            return True
        if isinstance(node, Scalar) and not node.quoted and node.text in ("false", "False", "FALSE"):
            return False
        raise expected(node, self.expects)

    def schema(self) -> Schema:
        """Return the type."""
        return {"type": "boolean"}


@dataclass(frozen=True, kw_only=True)
class PerChannel:
    """A number for each channel, or one for all. ``least_size`` is how far each stays away from 0."""

    expects: str = "a number, or a list of one for each channel"
    least_size: float = 0.0

    def read(self, node: Node, desk: Desk) -> tuple[float, ...]:
        """Return the numbers."""
        parts = node.items if isinstance(node, Items) else (node,)
        if not 1 <= len(parts) <= _MOST_ITEMS:
            raise expected(node, self.expects)
        return tuple(self._one(part) for part in parts)

    def _one(self, node: Node) -> float:
        value = _number(node)
        if value is None or not self.least_size <= abs(value) <= _LARGESTNUMBER:
            limits = f"{self.least_size:g} to {_LARGESTNUMBER:g}" if self.least_size else f"up to {_LARGESTNUMBER:g}"
            raise expected(node, f"{self.expects}, {limits} in size, as [0.485, 0.456, 0.406]")
        return value

    def schema(self) -> Schema:
        """Return one number, or a list."""
        number: Schema = {"type": "number", "minimum": -_LARGESTNUMBER, "maximum": _LARGESTNUMBER}
        if self.least_size:
            number["not"] = {"exclusiveMinimum": -self.least_size, "exclusiveMaximum": self.least_size}
        return {"anyOf": [number, {"type": "array", "items": number, "minItems": 1, "maxItems": _MOST_ITEMS}]}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes without the batch: ``3x640x640``, or a list of whole numbers."""

    expects: str = "a shape without the batch, as 3x640x640"

    def read(self, node: Node, desk: Desk) -> tuple[int, ...]:
        """Return the sizes."""
        if isinstance(node, Items) and 1 <= len(node.items) <= 8:
            return tuple(Whole(least=1, most=999_999_999).read(item, desk) for item in node.items)
        if isinstance(node, Scalar) and re.fullmatch(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}){0,7}", node.text):
            return tuple(int(size) for size in node.text.split("x"))
        raise expected(node, self.expects)

    def schema(self) -> Schema:
        """Return both forms."""
        size: Schema = {"type": "integer", "minimum": 1, "maximum": 999_999_999}
        return {
            "anyOf": [
                {"type": "string", "pattern": "^[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}){0,7}$"},
                {"type": "array", "items": size, "minItems": 1, "maxItems": 8},
            ]
        }


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A list of at least one, none twice. One alone may stand without the list."""

    of: Kind

    @property
    def expects(self) -> str:
        """Say what of."""
        return f"a list; each is {self.of.expects}"

    def read(self, node: Node, desk: Desk) -> tuple[object, ...]:
        """Return the values, without those that are wrong."""
        items = node.items if isinstance(node, Items) else (node,)
        if isinstance(node, Pairs) or not 1 <= len(items) <= _MOST_ITEMS:
            raise expected(node, self.expects if not isinstance(node, Items) else f"1 to {_MOST_ITEMS} of them")
        found: list[object] = []
        for item in items:
            value = desk.attempt(self.of, item)
            if value is not None and value in found:
                desk.problems.append(item.problem(f"{shown(item)} stands twice in this list"))
            elif value is not None:
                found.append(value)
        return tuple(found)

    def schema(self) -> Schema:
        """Return one, or a list."""
        one = self.of.schema()
        listed = {"type": "array", "items": one, "minItems": 1, "maxItems": _MOST_ITEMS, "uniqueItems": True}
        return {"anyOf": [listed, one]}


def near_word(word: str, known: Mapping[str, Iterable[str]]) -> str:
    """Return the end of a message on an unknown key; ``known`` has other words that people use for each."""
    for key, others in known.items():
        if word.lower().replace("-", "_") in (key, *others):
            return f'write "{key}"; the keys here are {", ".join(known)}'
    return suggestion(word, known)


def _number(node: Node) -> float | None:
    """Return the number that a scalar says in decimal, or None. 012 is none: it is ten to YAML 1.1, twelve to 1.2."""
    if not isinstance(node, Scalar) or node.quoted or not NUMBER.fullmatch(node.text):
        return None
    if re.match(r"[-+]?0[0-9]", node.text):
        return None
    value = float(node.text)
    return value if math.isfinite(value) else None
