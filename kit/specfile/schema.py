"""The JSON schema of spec files (draft 2020-12), for editors; it derives from the table of keys."""

from __future__ import annotations

import json

from kit.specfile.fields import DEFAULTS, MODEL, MOST_MODELS, RUN, Group, Key
from kit.specfile.kinds import Schema

_EMPTY: Schema = {"type": "null"}
"""A key that stands alone says nothing: the default holds."""


def text() -> str:
    """Return the schema as it is published in the package and printed by ``kit schema``."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> Schema:
    """Return the schema of a whole file."""
    run: Schema = {key.name: _of(key) for key in RUN}
    models: Schema = {
        "description": "One for each model.", "type": "array", "minItems": 1, "maxItems": MOST_MODELS,
        "items": _object("A model.", MODEL),
    }  # fmt: skip
    defaults: Schema = {"anyOf": [_object("What holds for every model that does not say it itself.", DEFAULTS), _EMPTY]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A spec file of kit generate",
        "type": "object",
        "properties": {**run, "defaults": defaults, "models": models},
        "required": ["models"],
        "additionalProperties": False,
    }


def _of(key: Key | Group) -> Schema:
    if isinstance(key, Group):
        return {"description": key.help, "anyOf": [_object(key.help, key.keys), _EMPTY]}
    described: Schema = {"description": f"{key.help} Default: {key.default}."}
    return described | ({**key.kind.schema()} if key.required else {"anyOf": [key.kind.schema(), _EMPTY]})


def _object(description: str, keys: tuple[Key | Group, ...]) -> Schema:
    made: Schema = {
        "description": description,
        "type": "object",
        "properties": {key.name: _of(key) for key in keys},
        "additionalProperties": False,
    }
    required = [key.name for key in keys if key.required]
    return made | ({"required": required} if required else {})
