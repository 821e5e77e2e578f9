"""Runs a script of the kit's in another environment and answers for it; ``kit.environments.worker`` starts it.

``python serve.py SCRIPT IN OUT``: the descriptors are those of the pipes. What libraries print goes to standard error,
which is a file. When the kit has gone, so has this process, whatever it is doing.
"""

from __future__ import annotations

import importlib.util
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from kit.environments import wire

Message = tuple[dict[str, Any], dict[str, Any]]


def _load(name: str, file: Path) -> ModuleType:
    """Import a file under a name. The folder stays off ``sys.path``: its names are those of other packages too."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(str(file))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if not TYPE_CHECKING:
    wire = _load("kit_wire", Path(__file__).with_name("wire.py"))


class Ask:
    """What a script's function is called with: ``data`` (JSON), ``arrays`` by name, and the way back to the kit."""

    def __init__(self, data: dict[str, Any], arrays: dict[str, Any], talk: Talk) -> None:
        self.data = data
        self.arrays = arrays
        self._talk = talk

    def tell(self, text: str) -> None:
        """Tell the kit how far it is, in one line."""
        self._talk.send({"tell": text})

    def stream(self, name: str) -> Stream:
        """Return what the kit gives under that name: dicts of arrays, which can be gone through more than once."""
        return Stream(name, self._talk)


class Stream:
    """Arrays that stay with the kit until they are asked for, one dict at a time."""

    def __init__(self, name: str, talk: Talk) -> None:
        self._name = name
        self._talk = talk

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._talk.send({"begin": self._name})
        while True:
            self._talk.send({"next": self._name})
            header, arrays = self._talk.receive()
            if header["item"] == "end":
                return
            if header["item"] == "failed":
                raise wire.Refused(header["message"])
            yield arrays


class Talk:
    """The two pipes. A thread reads, so that the kit's end is noticed in the middle of any work."""

    def __init__(self, requests: IO[bytes], replies: IO[bytes]) -> None:
        self._requests = requests
        self._replies = replies
        self._came: queue.Queue[Message] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while (message := wire.receive(self._requests)) is not None:
                self._came.put(message)
        finally:
            os._exit(0)

    def receive(self) -> Message:
        """Wait for the next message."""
        return self._came.get()

    def send(self, header: dict[str, Any], arrays: dict[str, Any] | None = None) -> None:
        """Write a message."""
        wire.send(self._replies, header, arrays)


def main() -> None:
    """Answer calls until the kit ends."""
    script, inward, outward = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    os.dup2(2, 1)
    talk = Talk(os.fdopen(inward, "rb"), os.fdopen(outward, "wb"))
    module: Any = None
    while True:
        header, arrays = talk.receive()
        try:
            module = module or _load("kit_script", script)
            function: Callable[[Ask], tuple[dict[str, Any], dict[str, Any]]] = getattr(module, header["call"])
            data, found = function(Ask(header["data"], arrays, talk))
            talk.send({"done": data}, found)
        except BaseException as error:  # noqa: BLE001 (whatever a library raises is told)
            traceback.print_exc()
            talk.send({"failed": type(error).__name__, "message": _one_line(error)})


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:600] or type(error).__name__


if __name__ == "__main__":
    main()
