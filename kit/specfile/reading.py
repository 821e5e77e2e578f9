"""From the tree of a document to what was said, key by key, held to the table; every mistake is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from kit import lacking
from kit.document import Items, Node, Pairs, Scalar
from kit.specfile.desk import Desk, expected, shown
from kit.specfile.fields import DEFAULTS, MODEL, MOST_MODELS, RUN, Group, Key
from kit.specfile.kinds import near_word


@dataclass(frozen=True, kw_only=True)
class Said:
    """A value that was given, and where."""

    value: object
    node: Node


Answers: TypeAlias = Mapping[str, Said]
"""What was said, by the attribute that it sets."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """One item of ``models``."""

    node: Node
    answers: Answers


@dataclass(frozen=True, kw_only=True)
class Document:
    """A spec file's content. ``desk`` has the user's targets and everything that is wrong so far."""

    desk: Desk
    run: Answers = field(default_factory=dict)
    defaults: Answers = field(default_factory=dict)
    models: tuple[Model, ...] = ()


def read(root: Node | None, desk: Desk) -> Document:
    """Return what the document says."""
    if root is None or (isinstance(root, Scalar) and root.empty):
        if not desk.problems:
            desk.problems.append(Node(line=1, column=1).problem("nothing is in it; write one with: kit init MODEL"))
        return Document(desk=desk)
    if not isinstance(root, Pairs):
        desk.problems.append(expected(root, 'keys; a spec begins with "models:"').problem)
        return Document(desk=desk)
    parts = {key.text: (key, value) for key, value in root.pairs}
    run = _keys(replace(root, pairs=tuple(p for n, p in parts.items() if n not in ("defaults", "models"))), RUN, desk)
    folders = run["target_folders"].value if "target_folders" in run else ()
    assert isinstance(folders, tuple)
    desk = replace(desk, target_folders=(*desk.target_folders, *folders), loaded={})
    if "models" not in parts:
        desk.problems.append(root.problem('no models; write "models:" and below it "- source: model.onnx"'))
    return Document(
        desk=desk,
        run=run,
        defaults=_keys(parts["defaults"][1], DEFAULTS, desk) if "defaults" in parts else {},
        models=_models(*parts["models"], desk) if "models" in parts else (),
    )


def _models(key: Scalar, node: Node, desk: Desk) -> tuple[Model, ...]:
    if not isinstance(node, Items) or not node.items:
        at = key if isinstance(node, Scalar) and node.empty else node
        desk.problems.append(at.problem('expected a list; each model begins with "- source: model.onnx"'))
        return ()
    if len(node.items) > MOST_MODELS:
        desk.problems.append(node.problem(f"{len(node.items)} models; a spec has at most {MOST_MODELS}"))
        return ()
    return tuple(_model(item, desk) for item in node.items)


def _model(node: Node, desk: Desk) -> Model:
    if isinstance(node, Scalar) and not node.empty:
        desk.problems.append(node.problem(f'a model is keys; write "- source: {shown(node)[1:-1]}"'))
        return Model(node=node, answers={})
    return Model(node=node, answers=_keys(node, MODEL, desk))


def _keys(node: Node, keys: tuple[Key | Group, ...], desk: Desk) -> dict[str, Said]:
    """Return what is said below a node; an empty value says nothing."""
    known = {key.name: key for key in keys}
    if not isinstance(node, Pairs):
        if not (isinstance(node, Scalar) and node.empty):
            desk.problems.append(expected(node, f"keys, each with a value: {', '.join(known)}").problem)
        elif any(key.required for key in keys):
            desk.problems.append(node.problem("nothing is here; a model begins with source: model.onnx"))
        return {}
    written = {
        name.text: (name, value) for name, value in node.pairs if not (isinstance(value, Scalar) and value.empty)
    }
    desk.problems.extend(
        name.problem(_unknown(name.text, keys, desk)) for name, _ in node.pairs if name.text not in known
    )
    missing = [key.name for key in keys if key.required and key.name not in written]
    desk.problems.extend(node.problem(f"no {name}; write {name}: model.onnx") for name in missing)
    said: dict[str, Said] = {}
    for name, value in written.values():
        key = known.get(name.text)
        if key is not None:
            said.update(_one(key, value, desk))
    return said


def _one(key: Key | Group, value: Node, desk: Desk) -> dict[str, Said]:
    if isinstance(key, Group):
        return _keys(value, key.keys, desk)
    read = desk.attempt(key.kind, value)
    return {} if read is None or read == () else {key.sets: Said(value=read, node=value)}


def _unknown(name: str, keys: tuple[Key | Group, ...], desk: Desk) -> str:
    """Say what to write instead of a key that is not known here."""
    told = f'unknown key "{name[:60]}"'
    if name == "dla" and keys is not RUN:
        return f"{told}; {lacking.dla(desk.target_folders)}"
    if keys is not RUN and any(key.name == name for key in RUN):
        return f"{told}; it stands at the top of the file, for all models"
    if keys is DEFAULTS and any(key.name == name for key in MODEL):
        return f"{told}; each model has its own"
    if keys is RUN:
        if any(key.name == name for key in MODEL):
            return f"{told}; it stands at a model" + (", or under defaults" if name not in ("source", "name") else "")
        others = {"defaults": ("default",), "models": ("model",)}
        return f"{told}; {near_word(name, {**{key.name: key.also for key in keys}, **others})}"
    return f"{told}; {near_word(name, {key.name: key.also for key in keys})}"
