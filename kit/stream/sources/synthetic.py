"""A camera that is none: moving shapes, each picture numbered in its pixels, at an exact rate."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from kit.errors import CameraUriError
from kit.stream.pattern import DEFAULT_PATTERN, PATTERNS, Pattern
from kit.stream.sources._pacing import Pace
from kit.stream.sources.interface import Option, Picture, Reader
from kit.stream.uri import CameraUri, own_uri

_MOST_FPS = 1000


class Synthetic:
    """``test://30fps?size=640x480&pattern=shapes&frames=300``."""

    name = "synthetic"
    schemes = ("test",)
    forms = ("test://30fps?size=640x480&pattern=shapes",)
    options = (
        Option(name="size", pattern="[1-9][0-9]{1,3}x[1-9][0-9]{1,3}", examples=("640x480", "1920x1080")),
        Option(name="pattern", pattern="|".join(PATTERNS), examples=PATTERNS),
        Option(name="frames", pattern="[1-9][0-9]*", examples=("300",)),
        Option(name="pace", pattern="fps|none", examples=("fps", "none")),
    )

    def parse(self, text: str) -> CameraUri:
        """Take the rate and the options apart."""
        uri = own_uri(text)
        rate(uri)
        return uri

    def guess(self, text: str) -> str | None:
        """Never."""
        return None

    def live(self, uri: CameraUri) -> bool:
        """Whether it goes on for ever."""
        return "frames" not in uri.options and not self.waits(uri)

    def waits(self, uri: CameraUri) -> bool:
        """Whether every picture is wanted."""
        return uri.options.get("pace") == "none"

    def open(self, uri: CameraUri, *, timeout_s: float, halt: threading.Event) -> Reader:
        """Draw the background."""
        width, height = (int(side) for side in uri.options.get("size", "640x480").split("x"))
        pattern = Pattern(width=width, height=height, name=uri.options.get("pattern", DEFAULT_PATTERN))
        frames = int(uri.options["frames"]) if "frames" in uri.options else None
        return SyntheticReader(
            pattern=pattern, rate=rate(uri), frames=frames, pace=None if self.waits(uri) else Pace(halt)
        )


def rate(uri: CameraUri) -> float:
    """Return the frames per second that a URI asks for; 30 where it asks for none. Raises ``CameraUriError``."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)(?:fps)?)?/?", uri.place.removeprefix("//"))
    fps = 30.0 if match and not match[1] else float(match[1]) if match else 0.0
    if not 0 < fps <= _MOST_FPS:
        raise CameraUriError(f'"{uri}" gives no rate from 1 to {_MOST_FPS}; write test://30fps')
    return fps


@dataclass(kw_only=True)
class SyntheticReader:
    """Draws when a picture is due."""

    pattern: Pattern
    rate: float
    frames: int | None
    pace: Pace | None
    number: int = 0

    def read(self) -> Picture | None:
        """Return the next picture when it is due, or None after the last."""
        number = self.number
        if self.frames is not None and number >= self.frames:
            return None
        self.number += 1
        pts_s = number / self.rate
        if self.pace is not None:
            self.pace.wait(pts_s)
        return Picture(pts_s=pts_s, image=lambda: self.pattern.draw(number))

    def close(self) -> None:
        """Nothing is open."""


MEMBER = Synthetic()
