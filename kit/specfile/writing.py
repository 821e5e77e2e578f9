"""A spec file of one model, with every key spelled out: what ``kit init`` writes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping

from kit import heads, sources, summary
from kit.recognise import Recognised
from kit.specfile.fields import MODEL, RUN, Group, Key, flat
from kit.targets.values import Target
from kit.types import Spec

_WIDTH = 100
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")
_NO_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_SAID = ("name", "targets", "input_shape")


def text(
    spec: Spec, found: Recognised, target: Target, given: Mapping[str, str], input_shape: tuple[int, ...] | None
) -> str:
    """Return a spec that makes what ``kit generate`` makes of the model without one.

    ``given`` is what the user said, the source among it, as the file is to say it; ``target`` the first that is asked
    for. What holds anyway is commented out, with its value: deleting the ``#`` before a key says it.
    """
    values = _values(spec, found, target) | {key: quoted(value) for key, value in given.items()}
    if input_shape is not None:
        values["input_shape"] = "x".join(map(str, input_shape))
    said = [key for key in (*_SAID, *given) if key in values]
    how = (
        'Make it with: kit generate, and the name of this file. "#key: value" holds anyway; delete the # to say '
        "it, or another value. An editor completes and checks the keys with the schema: kit schema --help"
    )
    head = [
        f"{spec.name}: {summary.signature(found.model)}",
        f"Recognised as {summary.meaning(spec, found.meaning, found.network)}.",
        how,
    ]
    source = sources.resolve(spec.source)
    unfit = {"input_shape": not source.needs_shape, "weights": not source.takes_weights,
             "thresholds": found.meaning.thresholds is None}  # fmt: skip
    model = [line for key in MODEL if not unfit.get(key.name) for line in _entry(key, values, said)]
    begins = next(number for number, line in enumerate(model) if line and not line.startswith("#"))
    body = [f"    {line}" if line else "" for line in model]
    body[begins] = f"  - {model[begins]}"
    parts = [
        *(line for part in head for line in _prose(part)), "",
        *(line for key in RUN for line in _entry(key, values, said)),
        "# What several models share may stand once, under defaults.", "#defaults:", "",
        "models:", *body,
    ]  # fmt: skip
    return "\n".join(parts).rstrip() + "\n"


def _values(spec: Spec, found: Recognised, target: Target) -> dict[str, str]:
    """Return what holds for each key, as YAML."""
    meaning, normal, kept = found.meaning, found.meaning.normalization, found.meaning.thresholds
    values = {key.name: key.example for key in (*flat(MODEL), *RUN) if key.name != "input_shape"}
    values |= {"name": quoted(spec.name), "targets": f"[{', '.join(map(quoted, spec.targets))}]"}
    if meaning.head in heads.names():
        values["head"] = ",".join((meaning.head, *(meaning.layout.words if meaning.layout is not None else ())))
    values |= {
        "color": meaning.color,
        "task": meaning.task,
        "contract": meaning.contract,
        "precision": target.defaults.precision,
    }
    values["per_target"] = f"{{{target.name}: {{instances: {target.defaults.instance_count}}}}}"
    for key in flat(MODEL):
        if hasattr(target.defaults, default := key.sets):
            values[key.name] = str(getattr(target.defaults, default))
        elif kept is not None and hasattr(kept, default):
            values[key.name] = str(getattr(kept, default))
        elif normal is not None and default in ("mean", "std"):
            values[key.name] = f"[{', '.join(map(str, getattr(normal, default)))}]"
    return values


def _entry(key: Key | Group, values: Mapping[str, str], said: list[str]) -> Iterator[str]:
    """Yield what a key means and the key, commented out where it says what holds anyway."""
    if isinstance(key, Group):
        yield from _prose(f"{key.help} {' '.join(f'{k.name}: {k.help}' for k in key.keys)}")
        yield f"#{key.name}: {{{', '.join(f'{part.name}: {values[part.name]}' for part in key.keys)}}}"
    else:
        limits = "" if key.required else f" [{key.kind.expects}; default: {key.default}]"
        yield from _prose(key.help + limits)
        yield f"{'' if key.name in said else '#'}{key.name}: {values.get(key.name, key.example)}"
    yield ""


def _prose(words: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(words, _WIDTH, break_on_hyphens=False, break_long_words=False)]


def quoted(word: str) -> str:
    """Return a word as YAML: as it stands where that is text to every reader, else in double quotes."""
    begins = word[:1].isalpha() or word.startswith(("/", "./", "../"))
    plain = begins and set(word) <= _PLAIN and word.lower() not in _NO_TEXT
    return word if plain else json.dumps(word, ensure_ascii=False)
