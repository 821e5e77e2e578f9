"""How the kit and a script in another environment talk: JSON with numpy arrays, length-prefixed; nothing is unpickled.

Both sides read this file, the script under its own Python: it imports nothing of the kit, and numpy where it is used.
A message is ``KITW``, the length of its header (4 bytes, little end first), the header, then the bytes of the arrays
that the header lists, one after the other.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

_MAGIC = b"KITW"
_PREFIX = struct.Struct("<4sI")
_KINDS = "biuf"
"""Booleans, whole numbers, floats: what has a fixed size and no meaning beyond its bytes."""


class Refused(Exception):  # noqa: N818 (a script says `raise Refused(...)`)
    """What a script raises for a reason that the user can do something about: one line."""


class WireError(Exception):
    """Something that is no message, or cannot be one."""


class CutShortError(WireError):
    """The other side ended in the middle of a message."""


def send(stream: IO[bytes], header: Mapping[str, Any], arrays: Mapping[str, Any] | None = None) -> None:
    """Write one message. Raises ``WireError`` for an array of objects, ``OSError`` where nobody reads."""
    flat = {name: _plain(name, value) for name, value in (arrays or {}).items()}
    listed = [[name, value.dtype.str, list(value.shape)] for name, value in flat.items()]
    text = json.dumps({**header, "arrays": listed}).encode()
    stream.write(_PREFIX.pack(_MAGIC, len(text)))
    stream.write(text)
    for value in flat.values():
        stream.write(memoryview(value.reshape(-1).view("u1")))
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Read one message: its header and its arrays by name; None where the other side has ended.

    Raises ``CutShortError`` where it ends in the middle, ``WireError`` where it is no message.
    """
    prefix = stream.read(_PREFIX.size)
    if not prefix:
        return None
    if len(prefix) < _PREFIX.size:
        raise CutShortError("the message is cut short")
    magic, length = _PREFIX.unpack(prefix)
    if magic != _MAGIC:
        raise WireError("the other side does not speak this protocol")
    header = json.loads(_exactly(stream, length))
    arrays = {name: _array(stream, dtype, shape) for name, dtype, shape in header.pop("arrays")}
    return header, arrays


def _plain(name: str, value: Any) -> Any:
    import numpy as np

    array = np.asarray(value, order="C")  # not ascontiguousarray: that gives a scalar a dimension
    if array.dtype.kind not in _KINDS or array.dtype.itemsize > 8:
        raise WireError(f"{name} is an array of {array.dtype}, which is not sent")
    return array


def _array(stream: IO[bytes], dtype: str, shape: list[int]) -> Any:
    import numpy as np

    kind = np.dtype(dtype)
    size = kind.itemsize
    for length in shape:
        size *= length
    return np.frombuffer(_exactly(stream, size), dtype=kind).reshape(shape)


def _exactly(stream: IO[bytes], size: int) -> bytearray:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        got = stream.readinto(view[done:])  # type: ignore[attr-defined]  # every binary stream has it
        if not got:
            raise CutShortError("the message is cut short")
        done += got
    return data
