"""A window for each camera, where there is a display."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kit.errors import MissingExtraError, OutputUnavailableError
from kit.stream.sinks.interface import Emission, Note, OpenSink, SinkGoneError, Takes, Target
from kit.stream.snapshot import Snapshot

_INSTEAD = "--page 8080 shows the same in a browser"
_KEYS = (ord("q"), 27)  # and Esc
_TITLE = "kit camera: "
_DISPLAY_S = 2.0


class Window:
    """OpenCV's: its headless packages, which the kit asks for, have none."""

    name = "window"
    flag = "--show"
    key = "show"
    takes = Takes.NOTHING
    help = "Show a window for each camera; q closes it."
    whole = False

    def check(self, target: Target) -> None:
        """Ask for a display."""
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise OutputUnavailableError(f"--show needs a display, and DISPLAY is not set; {_INSTEAD}")
        display = os.environ.get("DISPLAY", "")
        if display and not _answers(display):
            # Qt, which OpenCV brings, would end the whole program.
            raise OutputUnavailableError(f"--show needs a display, and none answers at DISPLAY={display}; {_INSTEAD}")

    def open(self, target: Target, watch: Callable[[], Snapshot]) -> OpenSink:
        """Look whether this OpenCV has windows."""
        try:
            import cv2
        except ImportError as error:
            raise MissingExtraError("opencv-python-headless", "camera", self.flag) from error
        if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
            raise OutputUnavailableError(
                "--show needs an OpenCV with windows, and opencv-python-headless has none; run: pip uninstall "
                f"opencv-python-headless && pip install opencv-python. Or: {_INSTEAD}"
            )
        return Screen(cv2)


class Screen:
    """The windows. OpenCV wants all calls in one thread, which a sink has."""

    greeting = ""

    def __init__(self, cv2: Any) -> None:
        self._cv2 = cv2
        self._open: set[str] = set()

    def take(self, emission: Emission) -> None:
        """Show a result's frame."""
        import numpy as np

        from kit.stream import drawing

        cv2, title = self._cv2, _TITLE + emission.result.frame.camera
        if title in self._open and cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1:
            raise SinkGoneError("the window was closed", ends=True)
        if title not in self._open:
            cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
        try:
            cv2.imshow(title, cv2.cvtColor(np.asarray(drawing.draw(emission)), cv2.COLOR_RGB2BGR))
        except cv2.error as error:
            raise SinkGoneError(f"no window can be shown ({error.err}); {_INSTEAD}") from error
        self._open.add(title)
        if cv2.waitKey(1) & 0xFF in _KEYS:
            raise SinkGoneError("the window was closed", ends=True)

    def note(self, note: Note) -> None:
        """Tell nothing."""

    def close(self, last: Snapshot) -> None:
        """Close the windows."""
        if self._open:
            self._cv2.destroyAllWindows()


def _answers(display: str) -> bool:
    """Return whether an X server listens: https://www.x.org/releases/current/doc/man/man7/X.7.xhtml#DISPLAY_NAMES."""
    found = re.fullmatch(r"(?:unix/?)?([^:]*):(\d+)(?:\.\d+)?", display)
    if found is None:
        return False
    host, number = found[1], int(found[2])
    places: list[tuple[int, object]] = (
        [(socket.AF_INET, (host, 6000 + number))]
        if host
        else [(socket.AF_UNIX, f"\0/tmp/.X11-unix/X{number}"), (socket.AF_UNIX, f"/tmp/.X11-unix/X{number}")]  # noqa: S108
    )
    for family, place in places:
        with socket.socket(family, socket.SOCK_STREAM) as probe, suppress(OSError):
            probe.settimeout(_DISPLAY_S)
            probe.connect(place)  # type: ignore[arg-type]  # one of the two forms above
            return True
    return False


MEMBER = Window()
