"""What a run is made of: cameras, models, sinks. From a command line, a file or a program, checked before it begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kit.errors import UsageError
from kit.stream import sinks
from kit.stream.contract import ModelOptions
from kit.stream.reader import Camera
from kit.stream.sinks.interface import ERRORS, LIVE, PLAIN, STANDARD_OUTPUT, Sink, Takes, Target

URL = "localhost:8001"
LIVE_BUDGET_S = 1.0
PATIENT_BUDGET_S = 30.0
"""For sources that wait: every frame is wanted, however slow the model is."""


@dataclass(frozen=True, kw_only=True)
class ModelPlan:
    """A model on a server. ``labels`` is a file of class names, one a line; without it the server is asked."""

    options: ModelOptions
    url: str = URL
    labels: Path | None = None
    min_score: float = 0.0
    """Detections below are not shown."""

    @property
    def name(self) -> str:
        """Return the model's name on the server."""
        return self.options.model


@dataclass(frozen=True, kw_only=True)
class CameraPlan:
    """A camera, and the key of the model that looks at it."""

    camera: Camera
    model: str

    @property
    def waits(self) -> bool:
        """Whether every picture is wanted."""
        return self.camera.source.waits(self.camera.uri)

    @property
    def live(self) -> bool:
        """Whether it has no end."""
        return self.camera.source.live(self.camera.uri)


@dataclass(frozen=True, kw_only=True)
class Output:
    """A kind of sink, and what it is opened with."""

    sink: Sink
    target: Target


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run. ``budget_s`` None: what suits the sources."""

    cameras: tuple[CameraPlan, ...]
    models: Mapping[str, ModelPlan]
    outputs: tuple[Output, ...] = ()
    budget_s: float | None = None
    in_flight: int = 2
    overall: int = 8
    duration_s: float | None = None
    patience_s: float = 10.0
    """How long sources that have an end wait for the server."""
    without_wires: frozenset[str] = field(default_factory=frozenset)

    def cameras_of(self, model: str) -> tuple[CameraPlan, ...]:
        """Return the cameras that a model looks at."""
        return tuple(camera for camera in self.cameras if camera.model == model)

    def budget_of(self, model: str) -> float:
        """Return how old a frame may be when its answer comes."""
        if self.budget_s is not None:
            return self.budget_s
        patient = all(camera.waits for camera in self.cameras_of(model))
        return PATIENT_BUDGET_S if patient else LIVE_BUDGET_S


def check(plan: Plan) -> None:
    """Raise ``UsageError`` (or what a sink's ``check`` raises) where a plan cannot be."""
    if not plan.cameras:
        raise UsageError("no camera is given; try: kit camera test://30fps --model NAME")
    taken = [output.sink.flag or output.sink.name for output in plan.outputs if output.target == STANDARD_OUTPUT]
    if len(taken) > 1:
        raise UsageError(f"{' and '.join(taken)} both write to standard output; leave one out")
    for output in plan.outputs:
        output.sink.check(output.target)


def cameras_of(sources: Sequence[str], model: str) -> tuple[CameraPlan, ...]:
    """Return the cameras at URIs or paths, named apart. Raises ``CameraUriError``."""
    return named_apart([CameraPlan(camera=Camera.parse(source), model=model) for source in sources])


def named_apart(cameras: Sequence[CameraPlan]) -> tuple[CameraPlan, ...]:
    """Give cameras of one name a number."""
    made: dict[str, CameraPlan] = {}
    for each in cameras:
        name = next(n for n in _numbered(each.camera.name) if n not in made)
        made[name] = replace(each, camera=replace(each.camera, name=name))
    return tuple(made.values())


def telling(outputs: Sequence[Output], *, quiet: bool) -> tuple[Output, ...]:
    """Add the sinks that are on in every run: as a display that moves, unless others may write to the terminal."""
    busy = any(output.target == STANDARD_OUTPUT or callable(output.target) for output in outputs)
    loudness = ERRORS if quiet else PLAIN if busy else LIVE
    told = [Output(sink=sink, target=loudness) for sink in sinks.every() if sink.takes is Takes.LOUDNESS]
    return (*told, *outputs)


def calling(function: Target) -> tuple[Output, ...]:
    """Return the sinks that call a function."""
    return tuple(Output(sink=sink, target=function) for sink in sinks.every() if sink.takes is Takes.PYTHON)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1
