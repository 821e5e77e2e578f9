"""What a spec says for some of a model's targets: keys below a target's name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from kit.document import Node, Pairs, Scalar
from kit.specfile.desk import Desk, expected
from kit.specfile.kinds import Kind, Schema, near_word
from kit.specfile.references import TargetName
from kit.types import Serving

_EMPTY: Schema = {"type": "null"}


class Part(Protocol):
    """A key that may stand below a target's name; see ``kit.specfile.fields.Key``."""

    @property
    def name(self) -> str:
        """The key."""

    @property
    def sets(self) -> str:
        """The field of ``Serving`` that it sets."""

    @property
    def kind(self) -> Kind:
        """How its value is read."""

    @property
    def help(self) -> str:
        """What it is."""

    @property
    def also(self) -> tuple[str, ...]:
        """Words that people use for it."""


@dataclass(frozen=True, kw_only=True)
class PerTarget:
    """Targets, each with those of ``parts`` that hold for it alone."""

    parts: tuple[Part, ...]

    @property
    def expects(self) -> str:
        """Name the keys."""
        return f"targets, each with some of {', '.join(part.name for part in self.parts)}"

    def read(self, node: Node, desk: Desk) -> dict[str, Serving]:
        """Return what is said for each target; one of which nothing is said is left out."""
        if not isinstance(node, Pairs):
            raise expected(node, self.expects)
        found: dict[str, Serving] = {}
        for name, below in node.pairs:
            target = desk.attempt(TargetName(), name)
            said: dict[str, Any] = dict(self._said(below, desk))
            if isinstance(target, str) and said:
                found[target] = Serving(**said)
        return found

    def _said(self, node: Node, desk: Desk) -> Iterator[tuple[str, object]]:
        """Yield what stands below one target, by the field that it sets; tell the desk what is wrong."""
        known = {part.name: part for part in self.parts}
        if not isinstance(node, Pairs):
            if not (isinstance(node, Scalar) and node.empty):
                desk.problems.append(expected(node, f"keys, each with a value: {', '.join(known)}").problem)
            return
        for name, value in node.pairs:
            if (part := known.get(name.text)) is None:
                near = near_word(name.text, {part.name: part.also for part in self.parts})
                desk.problems.append(name.problem(f'"{name.text[:60]}" is not said for one target; {near}'))
            elif not (isinstance(value, Scalar) and value.empty):
                read = desk.attempt(part.kind, value)
                if read is not None:
                    yield part.sets, read

    def schema(self) -> Schema:
        """Return an object of objects."""
        keys = {
            part.name: {"description": part.help, "anyOf": [part.kind.schema(), _EMPTY]} for part in self.parts
        }  # fmt: skip
        one: Schema = {"type": "object", "properties": keys, "additionalProperties": False}
        return {
            "type": "object",
            "propertyNames": TargetName().schema(),
            "additionalProperties": {"anyOf": [one, _EMPTY]},
        }
