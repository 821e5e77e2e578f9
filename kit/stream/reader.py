"""One connection to one camera, in a thread of its own that can be left behind."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import CameraLostError, KitError
from kit.stream.liveness import Liveness
from kit.stream.sources import resolve
from kit.stream.sources.interface import DecodeError, Picture, Reader, Source
from kit.stream.uri import CameraUri

FRESHNESS_S = 2.0
CONNECT_S = 10.0
_MOST_BROKEN = 250
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera to capture."""

    name: str
    source: Source
    uri: CameraUri
    freshness_s: float = FRESHNESS_S
    """A camera that gave no new picture for this long is connected anew, and an older picture is dropped."""
    connect_s: float = CONNECT_S
    """How long the first picture of a connection may take: the handshake, and waiting for a whole picture."""

    @classmethod
    def parse(
        cls, text: str, *, name: str | None = None, freshness_s: float = FRESHNESS_S, connect_s: float = CONNECT_S
    ) -> Camera:
        """Return the camera at a URI or path. Raises ``CameraUriError``."""
        source, uri = resolve(text)
        return cls(name=name or name_for(uri), source=source, uri=uri, freshness_s=freshness_s, connect_s=connect_s)


def name_for(uri: CameraUri) -> str:
    """Return a name for a camera that was given none: the place, fit for a label of a metric or a file's name."""
    whole = uri.place if uri.place.startswith("//") else Path(uri.place).stem  # of a path, the last part says enough
    place = re.sub(r"^.*@", "", re.split(r"[?#]", whole.lstrip("/"))[0])
    return re.sub(r"[^A-Za-z0-9.]+", "-", place).strip("-.")[:64] or uri.scheme


@dataclass(kw_only=True)
class Attempt:
    """A connection: ``begin`` starts its thread, which calls ``accept`` for each picture until it ends or is left.

    A thread in a native call cannot be ended from outside. Whoever gives up on it sets ``halt``, forgets the attempt,
    and ignores what may still come of it.
    """

    camera: Camera
    accept: Callable[[Attempt, Picture], None]
    broken: Callable[[Attempt], None]
    """Called for a picture that could not be decoded."""
    room: Callable[[float], bool]
    """Waits until the last picture was taken; for sources that wait."""
    changed: Callable[[], None]
    """Called once the attempt is over."""
    halt: threading.Event = field(default_factory=threading.Event)
    liveness: Liveness = field(default_factory=Liveness)
    begun_ns: int = 0
    first_ns: int | None = None
    newest_ns: int | None = None
    """When the first and the newest picture came whose times advance."""
    over: bool = False
    error: KitError | None = None
    """Why it is over; None after an end that is none of failure."""
    thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start to connect."""
        self.begun_ns = time.monotonic_ns()
        name = f"camera-{self.camera.name}-{next(_NUMBERS)}"
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread still runs."""
        return self.thread is not None and self.thread.is_alive()

    def _run(self) -> None:
        camera = self.camera
        try:
            reader = camera.source.open(camera.uri, timeout_s=camera.connect_s, halt=self.halt)
            try:
                self._read(reader)
            finally:
                reader.close()
        except KitError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 (whatever a driver or a decoder raises, the camera is tried again)
            said = camera.uri.redact(f"{type(error).__name__}: {error}")
            self.error = CameraLostError(f"{camera.uri} cannot be read: {said}")
        self.over = True
        self.changed()

    def _read(self, reader: Reader) -> None:
        waits = self.camera.source.waits(self.camera.uri)
        in_a_row = 0
        while not self.halt.is_set():
            try:
                picture = reader.read()
            except DecodeError as error:
                self.broken(self)
                in_a_row += 1
                if in_a_row == _MOST_BROKEN:
                    uri = self.camera.uri
                    raise CameraLostError(f"{uri}: {in_a_row} pictures in a row cannot be decoded: {error}") from error
                continue
            if picture is None:
                return
            in_a_row = 0
            while waits and not self.room(0.1) and not self.halt.is_set():
                pass
            self.accept(self, picture)
