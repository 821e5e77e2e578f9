"""A file of cameras, models and outputs in YAML: every mistake is told at once, each with its line and column.

    url: localhost:8001
    model: digits                 for cameras that name none
    cameras:
      gate: rtsp://kit:${GATE_PASSWORD}@10.0.0.7/stream
      yard: {source: rtsp://10.0.0.8/stream, model: plates, freshness_s: 3}
    models:                       only what a name does not say
      plates: {url: gpu-box:8001, labels: plates.txt, min_score: 0.5}
    outputs: {page: 8080, json: detections.jsonl, metrics: 9100}
    budget_ms: 500

Scalars are the text that was written, so that ``no`` is no ``false``; ``${NAME}`` in a source is the variable's value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kit import document
from kit.document import Node, Pairs, Problem, Scalar, Words
from kit.errors import CamerasFileError, CameraUriError, KitError, suggestion
from kit.stream import sinks
from kit.stream.plan import Output
from kit.stream.sinks.interface import STANDARD_OUTPUT, Takes
from kit.stream.sources import resolve

LARGEST_BYTES = 256 * 1024
_CALLED = Words(
    name="a file of cameras", levels="three", together="everything", shared="write out what is shared, or use *names"
)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera as the file has it."""

    name: str
    source: str
    model: str | None = None
    freshness_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is said of a model beside its name."""

    url: str | None = None
    version: str | None = None
    labels: Path | None = None
    min_score: float | None = None
    task: str | None = None
    size: str | None = None


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a file says; None where it says nothing."""

    url: str | None = None
    model: str | None = None
    cameras: tuple[Camera, ...] = ()
    models: Mapping[str, Model] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    budget_ms: int | None = None
    in_flight: int | None = None
    in_flight_total: int | None = None
    duration_s: float | None = None


def read(path: Path) -> Contents:
    """Read a file. Raises ``CamerasFileError``."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise CamerasFileError(f"{path} has more than {LARGEST_BYTES // 1024} KB; is it a file of cameras?")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CamerasFileError(f"{path} cannot be read: {error.strerror}; docs/camera.md shows such a file") from error
    except UnicodeDecodeError as error:
        raise CamerasFileError(f"{path} is no UTF-8 text; save it as UTF-8") from error
    root, wrong = document.parse(text, _CALLED)
    reader = _Reader(path.parent)
    contents = reader.contents(root) if root is not None or not wrong else Contents()
    if problems := sorted({*wrong, *reader.problems}):
        raise CamerasFileError("\n".join(f"{path}:{p.line}:{p.column}: {p.text}" for p in problems))
    return contents


class _Reader:
    """Collects problems; what is wrong is left out."""

    def __init__(self, folder: Path) -> None:
        self.problems: list[Problem] = []
        self._folder = folder

    def contents(self, root: Node | None) -> Contents:
        names = set(Contents.__dataclass_fields__)
        if root is None:
            self.problems.append(
                Problem(line=1, column=1, text="the file is empty; it names cameras at least: docs/camera.md")
            )
            return Contents()
        found = self._pairs(root, "", sorted(names))
        if "cameras" not in found and isinstance(root, Pairs):
            self._wrong(root, "cameras: is missing; give each a name and a source")
        return Contents(
            url=self._text(found.get("url"), "url"),
            model=self._text(found.get("model"), "model"),
            cameras=tuple(self._cameras(found.get("cameras"))),
            models={name: self._model(name, node) for name, node in self._named(found.get("models"), "models")},
            outputs=tuple(self._outputs(found.get("outputs"))),
            budget_ms=self._whole(found.get("budget_ms"), "budget_ms"),
            in_flight=self._whole(found.get("in_flight"), "in_flight"),
            in_flight_total=self._whole(found.get("in_flight_total"), "in_flight_total"),
            duration_s=self._number(found.get("duration_s"), "duration_s"),
        )

    def _cameras(self, node: Node | None) -> Iterator[Camera]:
        for name, value in self._named(node, "cameras"):
            where = f"cameras.{name}"
            if not _NAME.fullmatch(name):
                self._wrong(value, f'{where}: a name is of letters, digits, ".", "_", "-" and spaces')
            if isinstance(value, Scalar):
                yield Camera(name=name, source=self._source(value, where))
                continue
            found = self._pairs(value, where, ("source", "model", "freshness_s"))
            if "source" not in found and isinstance(value, Pairs):
                self._wrong(value, f"{where}: source is missing")
            yield Camera(
                name=name,
                source=self._source(found.get("source"), f"{where}.source"),
                model=self._text(found.get("model"), f"{where}.model"),
                freshness_s=self._number(found.get("freshness_s"), f"{where}.freshness_s"),
            )

    def _source(self, node: Node | None, where: str) -> str:
        text = self._text(node, where)
        if text is None or node is None:
            return ""
        for name in _VARIABLE.findall(text):
            if name not in os.environ:
                self._wrong(node, f"{where}: the variable {name} is not set; set it, or write the value")
                return ""
        filled = _VARIABLE.sub(lambda found: os.environ[found[1]], text)
        path, mark, options = filled.partition("#")
        if "://" not in path and (self._folder / path).exists():
            filled = f"{self._folder / path}{mark}{options}"
        try:
            resolve(filled)
        except CameraUriError as error:
            self._wrong(node, f"{where}: {error}")
        return filled

    def _model(self, name: str, node: Node) -> Model:
        where = f"models.{name}"
        found = self._pairs(node, where, tuple(Model.__dataclass_fields__))
        labels = self._text(found.get("labels"), f"{where}.labels")
        if labels is not None and not (self._folder / labels).is_file():
            self._wrong(found["labels"], f"{where}.labels: there is no file {self._folder / labels}")
        size = self._text(found.get("size"), f"{where}.size")
        if size is not None and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", size):
            self._wrong(found["size"], f'{where}.size: expected WIDTHxHEIGHT, as 640x480, not "{size}"')
        return Model(
            url=self._text(found.get("url"), f"{where}.url"),
            version=self._text(found.get("version"), f"{where}.version"),
            labels=None if labels is None else self._folder / labels,
            min_score=self._number(found.get("min_score"), f"{where}.min_score", most=1.0),
            task=self._text(found.get("task"), f"{where}.task"),
            size=size,
        )

    def _outputs(self, node: Node | None) -> Iterator[Output]:
        if node is None:
            return
        kinds = {sink.key: sink for sink in sinks.every() if sink.key}
        for key, value in self._pairs(node, "outputs", tuple(kinds)).items():
            sink, text = kinds[key], self._text(value, f"outputs.{key}")
            if text is None:
                continue
            target = text
            if sink.takes in (Takes.NOTHING, Takes.OUTPUT) and text.lower() in _WORDS:
                if not _WORDS[text.lower()]:
                    continue
                target = STANDARD_OUTPUT
            elif sink.takes in (Takes.FILE, Takes.FOLDER, Takes.OUTPUT) and text != STANDARD_OUTPUT:
                target = str(self._folder / text)
            try:
                sink.check(target)
            except KitError as error:
                self._wrong(value, f"outputs.{key}: {error}")
            yield Output(sink=sink, target=target)

    # Values

    def _text(self, node: Node | None, where: str) -> str | None:
        if node is None:
            return None
        if not isinstance(node, Scalar) or not node.text.strip() or "\n" in node.text:
            self._wrong(node, f"{where}: expected one line of text")
            return None
        return node.text.strip()

    def _whole(self, node: Node | None, where: str) -> int | None:
        text = self._text(node, where)
        if text is None or node is None:
            return None
        if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
            self._wrong(node, f'{where}: expected a whole number from 1, not "{text}"')
            return None
        return int(text)

    def _number(self, node: Node | None, where: str, *, most: float | None = None) -> float | None:
        text = self._text(node, where)
        if text is None or node is None:
            return None
        right = re.fullmatch(r"\d{1,9}(\.\d*)?|\.\d+", text)
        if not right or (float(text) > most if most is not None else float(text) == 0):
            limits = f"from 0 to {most:g}" if most is not None else "above 0"
            self._wrong(node, f'{where}: expected a number {limits}, not "{text}"')
            return None
        return float(text)

    # Structure

    def _named(self, node: Node | None, where: str) -> Iterable[tuple[str, Node]]:
        return () if node is None else self._pairs(node, where, None).items()

    def _pairs(self, node: Node, where: str, known: Iterable[str] | None) -> dict[str, Node]:
        if not isinstance(node, Pairs):
            self._wrong(node, f"{where or 'the file'}: expected keys and values, as name: value")
            return {}
        found: dict[str, Node] = {}
        for key, value in node.pairs:
            full = f"{where}.{key.text}" if where else key.text
            if not key.text:
                self._wrong(key, f"{where or 'the file'}: a key is a word")
            elif known is not None and key.text not in known:
                self._wrong(key, f"{full}: unknown; {suggestion(key.text, known)}")
            else:
                found[key.text] = value
        return found

    def _wrong(self, node: Node, said: str) -> None:
        self.problems.append(node.problem(said))
