"""Kinds of values that name something outside the spec file: targets, heads, files, sources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kit import heads, labels, sources, targets
from kit.document import Items, Node, Scalar
from kit.errors import KitError, TargetFileError, UnknownHeadError, UnknownTargetError, UsageError
from kit.specfile.desk import Desk, expected, wrong
from kit.specfile.kinds import Schema, Text

_RANDOM = "random"


@dataclass(frozen=True, kw_only=True)
class TargetName:
    """The name of a target, the user's own included."""

    expects: str = "the name of a target"

    def read(self, node: Node, desk: Desk) -> str:
        """Return the name of a target that can be loaded."""
        if not isinstance(node, Scalar):
            raise expected(node, self.expects)
        try:
            return desk.target(node.text).name
        except UnknownTargetError as error:
            raise wrong(node, str(error)) from error
        except TargetFileError as error:
            raise wrong(node, f"target {node.text}: {str(error).splitlines()[0]}; see: kit targets") from error

    def schema(self) -> Schema:
        """Return the kit's own targets, for completion; any other name may be one of the user's."""
        own = sorted(file.stem for file in targets.BUILT_IN.glob("*.toml"))
        return {"anyOf": [{"enum": own}, Text().schema()]}


@dataclass(frozen=True, kw_only=True)
class PathTo:
    """A path, relative to the spec file: a ``file`` or a ``folder`` that must be there, or one to be ``made``.

    Anything else that ``what`` names may be a file or a folder, and must be there.
    """

    what: str

    @property
    def expects(self) -> str:
        """Say what it is, and relative to what."""
        return "the path of a folder" if self.what == "made" else f"the path of a {self.what}"

    def read(self, node: Node, desk: Desk) -> Path:
        """Return the path as the current folder has it."""
        text = Text(expects=self.expects).read(node, desk)
        path = desk.folder / _home(text)
        if problem := self._problem(path):
            raise wrong(node, f"{path} {problem}")
        return path

    def _problem(self, path: Path) -> str:
        try:
            if self.what == "made":
                return "is a file; give a folder" if path.is_file() else ""
            if not path.exists():
                return "does not exist"
            fits = path.is_dir() == (self.what == "folder") or self.what not in ("file", "folder")
        except OSError as error:  # too long a name, among others
            return f"cannot be read: {error.strerror}"
        return "" if fits else f"is {'a file' if path.is_file() else 'a folder'}; give a {self.what}"

    def schema(self) -> Schema:
        """Return text."""
        return Text().schema()


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Class names: a file, relative to the spec, or a known set."""

    @property
    def expects(self) -> str:
        """Name the sets."""
        return f"the path of a file, or {', '.join(labels.known())}"

    def read(self, node: Node, desk: Desk) -> str:
        """Return the path or the set's name."""
        text = Text(expects=self.expects).read(node, desk)
        path = desk.folder / _home(text)
        try:
            given = text if text in labels.known() and not path.exists() else str(path)
            labels.read(given)
        except (UsageError, OSError) as error:
            raise wrong(node, str(error)) from error
        return given

    def schema(self) -> Schema:
        """Return the sets, for completion, and any text."""
        return {"anyOf": [{"enum": list(labels.known())}, Text().schema()]}


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A file of weights, relative to the spec, or the word that a source knows: random."""

    expects: str = "the path of a file, or random"

    def read(self, node: Node, desk: Desk) -> str:
        """Return the path or the word."""
        if isinstance(node, Scalar) and node.text == _RANDOM and not (desk.folder / _RANDOM).exists():
            return _RANDOM
        return str(PathTo(what="file").read(node, desk))

    def schema(self) -> Schema:
        """Return the word, for completion, and any text."""
        return {"anyOf": [{"const": _RANDOM}, Text().schema()]}


@dataclass(frozen=True, kw_only=True)
class HeadLayout:
    """A detector's head and its variations, as ``--head`` takes them, or as a list."""

    @property
    def expects(self) -> str:
        """Name the heads."""
        return f"one of {', '.join(heads.names())}, with its variations"

    def read(self, node: Node, desk: Desk) -> str:
        """Return the head and its variations, joined by commas."""
        parts = node.items if isinstance(node, Items) and node.items else (node,)
        text = ",".join(Text(expects=self.expects).read(part, desk) for part in parts)
        try:
            heads.parse(text)
        except UnknownHeadError as error:
            raise wrong(node, str(error)) from error
        return text

    def schema(self) -> Schema:
        """Return every head, alone or with any words; which of them go together is told when it is read."""
        begins = rf"^\s*({'|'.join(map(re.escape, heads.names()))})\s*(,|$)"
        listed = {"type": "array", "minItems": 1, "items": Text().schema()}
        return {"anyOf": [{"enum": list(heads.names())}, {"type": "string", "pattern": begins}, listed]}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a model comes from: a path relative to the spec file, or what another source of the kit takes."""

    expects: str = "the path of a model, package.module:callable or timm:NAME"

    def read(self, node: Node, desk: Desk) -> str:
        """Return the source, a path as the current folder has it; what is not there is told."""
        text = Text(expects=self.expects).read(node, desk)
        source = text if ":" in text else str(desk.folder / _home(text))
        try:
            if Path(source).is_dir():
                raise wrong(node, f"{source} is a folder; give the path of a model")
            if not Path(source).exists():
                sources.resolve(source).fingerprint(source)  # of what is no file; that of a large file takes seconds
        except (KitError, OSError) as error:
            raise wrong(node, str(error)) from error
        return source

    def schema(self) -> Schema:
        """Return text."""
        return Text().schema()


def _home(text: str) -> Path:
    """Return a path; ``~/`` is the user's home, as a shell would have it."""
    return Path.home() / text[2:] if text.startswith("~/") else Path(text)
