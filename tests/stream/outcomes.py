"""Frames to submit, and lists of what became of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.stream.channel import Channel
from kit.stream.contract import ModelOptions
from kit.stream.requests import Dispatcher, RequestOptions
from kit.stream.results import Cause, Dropped, Result, ServerEvent
from kit.stream.types import Frame


def frame(
    camera: str = "door", number: int = 0, image: npt.NDArray[np.uint8] | None = None, *, age_s: float = 0
) -> Frame:
    made = np.full((8, 8, 3), number % 256, np.uint8) if image is None else image
    captured_ns = time.monotonic_ns() - int(age_s * 1e9)
    return Frame(camera=camera, number=number, image=made, pts_s=None, captured_ns=captured_ns, wall_s=time.time())


@dataclass
class Outcome:
    """Everything that a dispatcher told."""

    results: list[Result] = field(default_factory=list)
    drops: list[Dropped] = field(default_factory=list)
    events: list[ServerEvent] = field(default_factory=list)

    def dispatcher(self, url: str, model: str = "echo", **options: Any) -> Dispatcher:
        told = ModelOptions(model=model, **options.pop("told", {}))
        on_result = options.pop("on_result", self.results.append)
        options.setdefault("freshness_s", 10.0)  # a slow machine loses nothing where that is not the question
        return Dispatcher(
            Channel(url=url),
            RequestOptions(model=told, **options),
            on_result=on_result,
            on_drop=self.drops.append,
            on_event=self.events.append,
        )

    def causes(self) -> set[Cause]:
        return {drop.cause for drop in self.drops}

    def texts(self) -> str:
        return "\n".join(f"{event.change.value}: {event.text}" for event in self.events)
