"""What a target file may say: every key, its type and its limits; and from its table to a ``Target``.

The keys are the fields of ``kit.targets.values``; ``problems_of`` finds everything that is wrong, so that ``target_of``
only has to build.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from kit.errors import suggestion
from kit.targets.values import Accelerator, Backend, Defaults, Device, Fact, Stack, Target

Table = Mapping[str, object]

CHOICE = "choice"
"""A fact's source where nobody else says so: our own choice, with its reasons in the note."""

NAME = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")
"""A target's name is a file name, an option's value and ``--model-config-name``, which takes no space."""

_DATE = re.compile(r"20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key: its name, what its value must be, in words and as a test, and whether it may be left out."""

    name: str
    expects: str
    accepts: Callable[[object], bool]
    required: bool = True


def _line(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and value.strip() == value != ""


def _lines(value: object) -> bool:
    return isinstance(value, list) and all(_line(v) for v in value)


def _at_least(minimum: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def _matches(pattern: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _text(name: str, *, required: bool = True) -> Key:
    return Key(name=name, expects="one line of text", accepts=_line, required=required)


def _number(name: str, minimum: int, *, required: bool = True) -> Key:
    return Key(name=name, expects=f"a whole number from {minimum}", accepts=_at_least(minimum), required=required)


def _version(name: str, *, required: bool = True) -> Key:
    accepts = _matches(r"\d+(\.\d+)+\S*")
    return Key(name=name, expects='a version in quotes, as "1.27.0"', accepts=accepts, required=required)


DEVICE = (
    _text("description"),
    Key(name="architecture", expects='"x86_64" or "aarch64"', accepts=_matches("x86_64|aarch64")),
    _number("memory_mib", 1, required=False),
    Key(name="memory_shared_with_cpu", expects="true or false", accepts=lambda value: isinstance(value, bool)),
    Key(
        name="compute_capability",
        expects='"major.minor" in quotes, as "8.7"',
        accepts=_matches(r"\d+\.\d"),
        required=False,
    ),
    _number("dla_cores", 0),
    Key(name="power_modes", expects="a list of names in nvpmodel's order", accepts=_lines, required=False),
    _number("cpu_threads", 1, required=False),
    Key(name="vnni", expects="true or false", accepts=lambda value: isinstance(value, bool), required=False),
)
STACK = (
    Key(
        name="image",
        expects='an image with an exact tag or digest, as "nvcr.io/nvidia/tritonserver:26.07-py3"',
        accepts=_matches(r"[^\s:@]+(:\d+)?[^\s:@]*(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})"),
    ),
    _version("triton_version"),
    _version("tensorrt_version", required=False),
    _version("onnxruntime_version"),
    _number("max_opset", 7),
    _number("max_ir_version", 3),
    _text("jetpack", required=False),
)
BACKEND = (
    _text("name"),
    Key(name="instance_kind", expects='"KIND_CPU" or "KIND_GPU"', accepts=_matches("KIND_[CG]PU")),
    Key(name="accelerator", expects="a table", accepts=lambda value: isinstance(value, dict), required=False),
)
ACCELERATOR = (
    Key(name="name", expects='"tensorrt" or "cuda"', accepts=_matches("tensorrt|cuda")),
    # The backend sets the device only while it reads parameters, so that an accelerator without any runs on GPU 0:
    # https://github.com/triton-inference-server/onnxruntime_backend/blob/main/src/onnxruntime.cc
    Key(
        name="parameters",
        expects='at least one key = "value", all in quotes',
        accepts=lambda value: (
            isinstance(value, dict) and bool(value) and all(isinstance(v, str) for v in value.values())
        ),
    ),
)
DEFAULTS = (
    _text("precision"),
    _number("max_batch_size", 0),
    _number("instance_count", 1),
    _number("max_queue_delay_us", 0),
    _number("intra_op_threads", 0),
)
FACT = (
    Key(name="keys", expects="a list of keys of this file", accepts=lambda value: _lines(value) and bool(value)),
    Key(name="source", expects=f'a URL or "{CHOICE}"', accepts=_matches(rf"https?://\S+|{CHOICE}")),
    Key(name="date", expects='the day it was looked up, as "2026-11-22"', accepts=_matches(_DATE.pattern)),
    _text("note", required=False),
)
SECTIONS = {"device": DEVICE, "stack": STACK, "defaults": DEFAULTS}
LISTS = {"backends": BACKEND, "facts": FACT}


def problems_of(name: str, table: Table) -> tuple[str, ...]:
    """Return everything that is wrong with a target file, one line each; nothing for a good one."""
    found = [] if NAME.fullmatch(name) else [f'the file name "{name}": expected lower-case words joined by "-"']
    known = (*SECTIONS, *LISTS)
    found += [f"{key}: unknown; {suggestion(key, known)}" for key in table if key not in known]
    for section, keys in SECTIONS.items():
        found += _problems_of_table(section, table.get(section), keys)
    for section, keys in LISTS.items():
        found += _problems_of_list(section, table.get(section, []), keys)
    # What belongs together is only worth saying of a file whose parts are right.
    return tuple(found) or tuple(_contradictions(target_of(name, table)))


def target_of(name: str, table: Table) -> Target:
    """Build the target from a table without problems."""
    tables: dict[str, dict[str, object]] = {s: {**_dict(table[s])} for s in SECTIONS}
    tables["device"]["power_modes"] = tuple(_list(tables["device"].get("power_modes", [])))
    return Target(
        name=name,
        device=Device(**tables["device"]),  # type: ignore[arg-type]  # problems_of has looked at every value
        stack=Stack(**tables["stack"]),  # type: ignore[arg-type]
        backends=tuple(_backend(_dict(b)) for b in _list(table.get("backends", []))),
        defaults=Defaults(**tables["defaults"]),  # type: ignore[arg-type]
        facts=tuple(_fact(_dict(f)) for f in _list(table.get("facts", []))),
    )


def values_of(target: Target) -> dict[str, str]:
    """Return every key that a target sets, by the name that facts use, with its value as text."""
    values = {**_section("device", target), **_section("stack", target)}
    for backend in target.backends:
        where = f"backends.{backend.name}"
        values[f"{where}.instance_kind"] = backend.instance_kind
        if backend.accelerator:
            values[f"{where}.accelerator.name"] = backend.accelerator.name
            parameters = backend.accelerator.parameters.items()
            values.update({f"{where}.accelerator.parameters.{k}": v for k, v in parameters})
    return {**values, **_section("defaults", target)}


def covering(target: Target, key: str) -> tuple[int, ...]:
    """Return the numbers, from 1, of the facts that cover a key: those that name it or what it is below of."""
    return tuple(number for number, fact in enumerate(target.facts, start=1) if any(_covers(k, key) for k in fact.keys))


def unsourced(target: Target) -> tuple[str, ...]:
    """Return the keys that no fact covers."""
    return tuple(key for key in values_of(target) if not covering(target, key))


def _section(name: str, target: Target) -> dict[str, str]:
    part = getattr(target, name)
    values = {f"{name}.{key.name}": _shown(getattr(part, key.name)) for key in SECTIONS[name]}
    return {key: value for key, value in values.items() if value}


def _covers(fact_key: str, key: str) -> bool:
    return key == fact_key or key.startswith(f"{fact_key}.")


def _shown(value: object) -> str:
    """Return a value as ``kit targets`` prints it; nothing for a key that is left out."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value)
    return "" if value is None else str(value)


def _problems_of_table(where: str, value: object, keys: tuple[Key, ...]) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {'missing' if value is None else 'expected a table'}; it needs {_required(keys)}"
        return
    known = {k.name: k for k in keys}
    for name, item in value.items():
        if name not in known:
            yield f"{where}.{name}: unknown; {suggestion(name, known)}"
        elif not known[name].accepts(item):
            yield f"{where}.{name}: expected {known[name].expects}, got {item!r}"
    yield from (f"{where}.{k.name}: missing; expected {k.expects}" for k in keys if k.required and k.name not in value)
    if isinstance(value.get("accelerator"), dict):
        yield from _problems_of_table(f"{where}.accelerator", value["accelerator"], ACCELERATOR)


def _problems_of_list(where: str, value: object, keys: tuple[Key, ...]) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where}: expected [[{where}]] tables"
        return
    for number, item in enumerate(value, start=1):
        # A backend is known by its name, a fact only by its place.
        name = item.get("name") if isinstance(item, dict) and "name" in {k.name for k in keys} else None
        yield from _problems_of_table(f"{where}.{name}" if isinstance(name, str) else f"{where}[{number}]", item, keys)


def _contradictions(target: Target) -> Iterator[str]:
    """Yield what cannot be true together."""
    names = [b.name for b in target.backends]
    if not names:
        yield "backends: none; a target needs at least one [[backends]]"
    yield from (f"backends.{n}: written twice" for n in sorted({n for n in names if names.count(n) > 1}))
    for backend in target.backends:
        if backend.instance_kind == "KIND_GPU" and target.device.compute_capability is None:
            yield f"backends.{backend.name}.instance_kind: KIND_GPU needs device.compute_capability"
        if backend.accelerator and (backend.name, backend.instance_kind) != ("onnxruntime", "KIND_GPU"):
            yield f"backends.{backend.name}.accelerator: only onnxruntime on KIND_GPU takes one"
    yield from _facts_of_nothing(target)


def _facts_of_nothing(target: Target) -> Iterator[str]:
    known = values_of(target)
    for number, fact in enumerate(target.facts, start=1):
        if fact.source == CHOICE and not fact.note:
            yield f'facts[{number}].note: a "{CHOICE}" gives its reason'
        for key in fact.keys:
            if not any(_covers(key, k) for k in known):
                yield f"facts[{number}].keys: this file has no {key}; {suggestion(key, _siblings(key, known))}"


def _siblings(key: str, known: Iterable[str]) -> set[str]:
    """Return the keys of the same section; the sections themselves where there is none such."""
    sections = {k.partition(".")[0] for k in known}
    section = key.partition(".")[0]
    return {k for k in known if k.startswith(f"{section}.")} if section in sections else sections


def _required(keys: Iterable[Key]) -> str:
    return ", ".join(k.name for k in keys if k.required)


def _backend(table: Table) -> Backend:
    accelerator = _accelerator(_dict(table["accelerator"])) if "accelerator" in table else None
    return Backend(name=str(table["name"]), instance_kind=str(table["instance_kind"]), accelerator=accelerator)


def _accelerator(table: Table) -> Accelerator:
    return Accelerator(name=str(table["name"]), parameters={k: str(v) for k, v in _dict(table["parameters"]).items()})


def _fact(table: Table) -> Fact:
    keys = tuple(str(k) for k in _list(table["keys"]))
    return Fact(keys=keys, source=str(table["source"]), date=str(table["date"]), note=str(table.get("note", "")))


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
