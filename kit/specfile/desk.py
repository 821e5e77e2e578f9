"""Where a spec file is read: what reading needs to know, and everything that was found wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kit import targets
from kit.document import Items, Node, Pairs, Problem, Scalar
from kit.targets.values import Target

NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


class Reader(Protocol):
    """Reads a value; see ``kit.specfile.kinds.Kind``."""

    def read(self, node: Node, desk: Desk) -> object:
        """Return the value. Raises ``WrongError``."""


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What reading needs: the folder that paths are relative to, the user's targets; and what was found wrong."""

    folder: Path
    target_folders: tuple[Path, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    loaded: dict[str, Target] = field(default_factory=dict)

    def target(self, name: str) -> Target:
        """Return a target, from its file the first time. Raises ``UnknownTargetError`` and ``TargetFileError``."""
        if name not in self.loaded:
            self.loaded[name] = targets.load(name, self.target_folders)
        return self.loaded[name]

    def attempt(self, kind: Reader, node: Node) -> object | None:
        """Return the value that ``kind`` reads there, or None and keep the problem."""
        try:
            return kind.read(node, self)
        except WrongError as error:
            self.problems.append(error.problem)
            return None


class WrongError(Exception):
    """A value is not what it must be."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


def wrong(node: Node, text: str) -> WrongError:
    """Return the error that says ``text`` of a place."""
    return WrongError(node.problem(text))


def expected(node: Node, what: str) -> WrongError:
    """Return the error that something else stands where ``what`` is expected."""
    return wrong(node, f"expected {what}, got {shown(node)}")


def shown(node: Node) -> str:
    """Return a value in a few characters."""
    if isinstance(node, Scalar):
        text = node.text if len(node.text) <= 40 else f"{node.text[:40]}..."
        return f'"{text}"' + (" in quotes, which is text" if node.quoted and NUMBER.fullmatch(node.text) else "")
    return "a list" if isinstance(node, Items) else "keys" if isinstance(node, Pairs) else "nothing"
