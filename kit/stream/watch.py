"""``kit camera`` for programs: sources and a model in, a function called with each result.

from kit.stream.watch import watch

watch("rtsp://camera/stream", model="digits", on_detections=lambda found: print(found.result.output))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from kit.stream import plan as plans
from kit.stream import planning, sinks, stopping
from kit.stream.run import Outcome, run
from kit.stream.sinks.interface import Emission, Sink, Target

_NONE: Mapping[str, str] = MappingProxyType({})


def watch(
    sources: str | Sequence[str] = (),
    *,
    model: str | None = None,
    on_detections: Callable[[Emission], object] | None = None,
    url: str | None = None,
    config: Path | None = None,
    outputs: Mapping[str, str] = _NONE,
    min_score: float | None = None,
    budget_ms: int | None = None,
    in_flight: int | None = None,
    duration_s: float | None = None,
    quiet: bool = False,
) -> Outcome:
    """Stream until the sources end, ``duration_s`` is over, or Ctrl-C; return each camera's totals.

    ``outputs`` are those of a file of cameras, by the same keys: ``{"page": "8080", "record": "out.mp4"}``.
    ``on_detections`` is called in a thread of its own, one result after the other. What it raises is told once and
    counted. While it is slow, results of live cameras are left out; files with ``pace=none`` and folders wait for it.

    Raises ``KitError`` where it cannot begin, and where no camera or no server answered.
    """
    said = planning.Said(
        model=model, url=url, min_score=min_score, budget_ms=budget_ms, in_flight=in_flight, duration_s=duration_s
    )
    asked: list[tuple[Sink, Target]] = [(sinks.by_key(key), target) for key, target in outputs.items()]
    if on_detections is not None:
        asked += [(output.sink, output.target) for output in plans.calling(on_detections)]
    listed = [sources] if isinstance(sources, str) else sources
    plan = planning.plan(listed, said, config=config, outputs=asked, quiet=quiet)
    with stopping.by_signals() as stop:
        outcome = run(plan, stop=stop)
    if outcome.error is not None:
        raise outcome.error
    return outcome
