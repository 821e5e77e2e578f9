"""From a command line, with or without a file of cameras, to a plan. What is said on the command line wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import UsageError
from kit.stream import plan as plans
from kit.stream.camerasfile import Contents, Model, read
from kit.stream.contract import ModelOptions
from kit.stream.plan import URL, CameraPlan, ModelPlan, Output, Plan
from kit.stream.reader import FRESHNESS_S, Camera
from kit.stream.requests import RequestOptions
from kit.stream.sinks.interface import Sink, Target


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the command line says; None where it says nothing. What is of a model is of ``model``."""

    model: str | None = None
    url: str | None = None
    budget_ms: int | None = None
    in_flight: int | None = None
    duration_s: float | None = None
    labels: Path | None = None
    min_score: float | None = None
    task: str | None = None
    size: str | None = None
    version: str | None = None


def plan(
    sources: Sequence[str],
    said: Said,
    *,
    config: Path | None = None,
    outputs: Sequence[tuple[Sink, Target]] = (),
    quiet: bool = False,
) -> Plan:
    """Return the plan of a command line.

    Raises ``UsageError``, ``CamerasFileError`` with every mistake of the file, and ``CameraUriError``.
    """
    written = read(config) if config is not None else Contents()
    main = said.model or written.model
    cameras = (*_written(written, main), *plans.cameras_of(sources, _required(main) if sources else ""))
    if not cameras:
        raise UsageError("no camera is given; try: kit camera test://30fps --model NAME, or --config FILE")
    asked = tuple(Output(sink=sink, target=target) for sink, target in outputs)
    kinds = {output.sink.name for output in asked}
    more = tuple(output for output in written.outputs if output.sink.name not in kinds)
    in_flight = said.in_flight or written.in_flight or RequestOptions.per_camera
    budget_ms = said.budget_ms or written.budget_ms
    made = Plan(
        cameras=plans.named_apart(cameras),
        models={name: _model(name, said if name == main else Said(url=said.url), written) for name in _used(cameras)},
        outputs=plans.telling((*asked, *more), quiet=quiet),
        budget_s=budget_ms / 1e3 if budget_ms else None,
        in_flight=in_flight,
        overall=max(in_flight, written.in_flight_total or max(RequestOptions.overall, 2 * len(cameras))),
        duration_s=said.duration_s or written.duration_s,
    )
    plans.check(made)
    return made


def _written(contents: Contents, main: str | None) -> tuple[CameraPlan, ...]:
    return tuple(
        CameraPlan(
            camera=Camera.parse(each.source, name=each.name, freshness_s=each.freshness_s or FRESHNESS_S),
            model=each.model or _required(main),
        )
        for each in contents.cameras
    )


def _required(model: str | None) -> str:
    if model is None:
        raise UsageError("which model? give --model NAME, as the server calls it (kit serve prints the names)")
    return model


def _used(cameras: Sequence[CameraPlan]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(camera.model for camera in cameras))


def _model(name: str, said: Said, written: Contents) -> ModelPlan:
    more = written.models.get(name, Model())
    options = ModelOptions(
        model=name,
        version=said.version or more.version or "",
        task=said.task or more.task,
        size=_size(said.size or more.size),
    )
    score = said.min_score if said.min_score is not None else more.min_score
    return ModelPlan(
        options=options,
        url=said.url or more.url or written.url or URL,
        labels=said.labels or more.labels,
        min_score=score or 0.0,
    )


def _size(text: str | None) -> tuple[int, int] | None:
    """Read ``WIDTHxHEIGHT``; return height and width."""
    if text is None:
        return None
    width, x, height = text.lower().partition("x")
    if not (x and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f'--size is WIDTHxHEIGHT in pixels, not "{text}"; try --size 640x480')
    return int(height), int(width)
