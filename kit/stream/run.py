"""Cameras, models and sinks together: ``capture -> requests -> sinks``, with one account of every frame.

    for each camera, at any moment:  captured == emitted + dropped by cause + pending
    and after the end:               pending == 0

Threads: one for each connection to a camera and one that watches them all; for each model one that takes frames, one
that sends and one that receives; one for each sink. None waits for another without a bound.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import MappingProxyType

from kit.errors import CameraLostError, NoAnswerError
from kit.stream import plan as plans
from kit.stream import words
from kit.stream.accounting import Cause, Totals
from kit.stream.cameras import Cameras
from kit.stream.capture import Capture
from kit.stream.events import Event, Kind
from kit.stream.meter import Meter
from kit.stream.model import Model
from kit.stream.order import Order
from kit.stream.outlet import Outlet
from kit.stream.plan import Plan
from kit.stream.pump import Pump
from kit.stream.results import Change, Dropped, Result, ServerEvent
from kit.stream.sinks.interface import Emission, Note, SinkGoneError
from kit.stream.snapshot import CameraView, Snapshot
from kit.stream.types import Frame

_TICK_S = 0.1
_SAMPLE_S = 0.25
_DRAIN_S = 2.0
_SINKS_S = 5.0
_SINK_WAIT_S = 5.0
"""So long a source that waits lets a slow sink have the time it takes."""
_BAD_KINDS = frozenset({Kind.LOST, Kind.REPLACED, Kind.FAILED})
_BAD_CHANGES = frozenset({Change.WAITING, Change.REFUSED, Change.TROUBLE, Change.SINK})
_FAULTS = (Cause.DECODE_ERROR, Cause.SERVER_ERROR, Cause.DEADLINE)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended. ``error`` is what a program should end with, if the run was not what was asked for."""

    last: Snapshot
    error: Exception | None

    @property
    def totals(self) -> Mapping[str, Totals]:
        """What became of each camera's frames."""
        return {view.camera: view.totals for view in self.last.cameras}


def run(plan: Plan, *, stop: threading.Event | None = None) -> Outcome:
    """Run until every source has ended, ``duration_s`` is over, ``stop`` is set or a sink wants to end.

    Raises ``KitError`` where it cannot begin: a sink that cannot be opened, a model that the server does not have.
    """
    plans.check(plan)
    return Run(plan, stop or threading.Event()).run()


class Run:
    """One run; see ``run``."""

    def __init__(self, plan: Plan, stop: threading.Event) -> None:
        self._plan = plan
        self._stop = stop
        self._lock = threading.Lock()
        self._streams = self._over = False
        self._begun_s = time.monotonic()
        self._gone: SinkGoneError | None = None
        self._outlets: list[Outlet] = []
        self._trouble: dict[str, str] = {}
        self._newest: dict[str, Emission] = {}
        self._meters = {each.camera.name: Meter() for each in plan.cameras}
        self._orders: dict[str, Order[Emission]] = {e.camera.name: Order() for e in plan.cameras if e.waits}
        self._plans = {each.camera.name: each for each in plan.cameras}
        self._models = {key: Model(key, plan, self._on_result, self._on_drop, self._on_server) for key in plan.models}
        self._cameras = Cameras(
            [each.camera for each in plan.cameras],
            on_event=self._on_camera,
            on_frame=lambda name: self._model_of(name).dispatcher.wake(),
            cause_of=lambda name: self._model_of(name).dispatcher.why_no_room(name),
        )
        captures = self._cameras.captures
        self._pumps = [
            Pump(
                {each.camera.name: captures[each.camera.name] for each in plan.cameras_of(key)},
                model.dispatcher,
                budget_s=plan.budget_of(key),
                on_frame=self._on_frame,
            )
            for key, model in self._models.items()
        ]

    def run(self) -> Outcome:
        """Do everything, in this thread and its own; once."""
        with ExitStack() as stack:
            stack.callback(self._close_sinks)
            self._open_sinks()
            stack.callback(self._stop_all)
            self._begin()
            self._wait()
            self._finish()
        return Outcome(last=self.snapshot(), error=self._error())

    def snapshot(self) -> Snapshot:
        """Return how it stands."""
        wires = {model.name: model.wire for model in self._models.values() if model.wire}
        return Snapshot(
            seconds=time.monotonic() - self._begun_s,
            cameras=tuple(self._view(capture) for capture in self._cameras.captures.values()),
            sinks=tuple(outlet.view() for outlet in self._outlets),
            wires=MappingProxyType(wires),
        )

    # The stages of a run

    def _open_sinks(self) -> None:
        for output in self._plan.outputs:
            opened = output.sink.open(output.target, self.snapshot)
            kind = output.sink
            self._outlets.append(Outlet(kind.name, opened, tell=self._tell, ended=self._sink_ended, whole=kind.whole))
            if opened.greeting:
                self._tell(Note(text=opened.greeting))

    def _begin(self) -> None:
        """Wait for the servers for a moment: long where sources have an end, and would be over before."""
        for model in self._models.values():
            model.dispatcher.start()
        live = any(each.live for each in self._plan.cameras)
        deadline = time.monotonic() + (1.0 if live else self._plan.patience_s)
        for model in self._models.values():
            ready = False
            while not ready and not self._stop.is_set() and time.monotonic() < deadline:
                ready = model.dispatcher.wait_until_ready(_TICK_S)
            if not ready and not live and not self._stop.is_set():
                raise NoAnswerError(self._why(model))
        self._begun_s = time.monotonic()
        self._streams = True
        self._cameras.start()
        for pump in self._pumps:
            pump.start()

    def _wait(self) -> None:
        sampled_s = 0.0
        end_s = None if self._plan.duration_s is None else self._begun_s + self._plan.duration_s
        while not self._stop.wait(_TICK_S) and not self._cameras.ended:
            now_s = time.monotonic()
            if end_s is not None and now_s >= end_s:
                return
            if now_s - sampled_s >= _SAMPLE_S:
                sampled_s = now_s
                self._sample()

    def _finish(self) -> None:
        """Take no more frames, and wait for what is under way: within a bound."""
        if not self._cameras.ended:
            self._cameras.stop()
        for pump in self._pumps:
            pump.stop(_DRAIN_S)
        for key, model in self._models.items():
            model.drain(min(self._plan.budget_of(key), _DRAIN_S))

    def _stop_all(self) -> None:
        self._cameras.stop()
        for pump in self._pumps:
            pump.stop(_DRAIN_S)
        for model in self._models.values():
            model.close()
        with self._lock:
            self._over = True
            for capture in self._cameras.captures.values():
                capture.accounting.drop_pending(Cause.SHUTDOWN)

    def _close_sinks(self) -> None:
        last = self.snapshot()
        if not self._streams:
            last = replace(last, cameras=())  # there is nothing to tell of what never began
        deadline = time.monotonic() + _SINKS_S
        for outlet in self._outlets:
            outlet.drain(max(0.0, deadline - time.monotonic()))
        # The one that tells is closed last: it tells how the others fared.
        for outlet in reversed(self._outlets):
            last = replace(last, sinks=tuple(each.view() for each in self._outlets))
            if not outlet.close(last, max(0.5, deadline - time.monotonic())):
                self._tell(Note(text=f"{outlet.name} did not finish in time and was left", bad=True))

    def _error(self) -> Exception | None:
        """Return what went wrong, the most telling first."""
        if self._gone is not None:
            return BrokenPipeError(32, str(self._gone)) if self._gone.interrupted else None
        captures = self._cameras.captures.values()
        for capture in captures:
            if capture.failure is not None:
                return capture.failure
        if self._stop.is_set():
            return None
        totals = [capture.accounting.totals() for capture in captures]
        if not any(counts.captured for counts in totals):
            reasons = "; ".join(f"{c.camera.name}: {c.status().reason or 'no answer'}" for c in captures)
            return CameraLostError(f"no camera gave a picture ({reasons})")
        if not any(counts.emitted for counts in totals):
            return NoAnswerError("; ".join(self._why(model) for model in self._models.values()))
        return None

    def _why(self, model: Model) -> str:
        trouble = self._trouble.get(model.key, f"{model.name} gave no answer in time")
        return f"{trouble.removesuffix('; waiting for it')}; start a server with: kit serve model_repository"

    # What is called from other threads

    def _on_result(self, result: Result) -> None:
        name = result.frame.camera
        capture = self._cameras.captures[name]
        with self._lock:
            if self._over:
                return
            capture.accounting.emit(result.frame.number)
        meter = self._meters[name]
        meter.record(result)
        emission = Emission(
            result=result,
            labels=self._model_of(name).labels,
            dropped=capture.accounting.totals().dropped,
            fps=meter.rates()[1],
        )
        if name in self._orders:
            self._emit(*self._orders[name].come(result.frame.number, emission), wait_s=_SINK_WAIT_S)
        else:
            self._emit(emission)

    def _on_drop(self, dropped: Dropped) -> None:
        name, number = dropped.frame.camera, dropped.frame.number
        with self._lock:
            if self._over:
                return
            self._cameras.captures[name].accounting.drop(number, dropped.cause)
        if name in self._orders:
            self._emit(*self._orders[name].come(number, None), wait_s=_SINK_WAIT_S)

    def _on_frame(self, frame: Frame) -> None:
        if frame.camera in self._orders:
            self._orders[frame.camera].expect(frame.number)

    def _emit(self, *emissions: Emission, wait_s: float = 0.0) -> None:
        for emission in emissions:
            self._newest[emission.result.frame.camera] = emission
            for outlet in self._outlets:
                outlet.offer(emission, wait_s=wait_s)

    def _on_server(self, key: str, event: ServerEvent) -> None:
        bad = event.change in _BAD_CHANGES
        if bad:
            self._trouble[key] = event.text
        else:
            self._trouble.pop(key, None)
        if self._streams or event.change is not Change.REFUSED:  # or it is raised
            self._tell(Note(text=event.text, bad=bad))

    def _on_camera(self, event: Event) -> None:
        self._tell(Note(text=str(event), bad=event.permanent or event.kind in _BAD_KINDS))

    def _sink_ended(self, gone: SinkGoneError) -> None:
        self._gone = gone
        self._stop.set()

    def _tell(self, note: Note) -> None:
        for outlet in self._outlets:
            outlet.note(note)

    # What is told

    def _sample(self) -> None:
        now_ns = time.monotonic_ns()
        for name, capture in self._cameras.captures.items():
            totals = capture.accounting.totals()
            self._meters[name].see(now_ns, captured=totals.captured, emitted=totals.emitted)

    def _view(self, capture: Capture) -> CameraView:
        name = capture.camera.name
        meter, totals, status = self._meters[name], capture.accounting.totals(), capture.status()
        captured_fps, inferred_fps = meter.rates()
        age, answer = meter.spreads()
        newest = self._newest.get(name)
        return CameraView(
            camera=name, model=self._model_of(name).name, version=newest.result.version if newest else "",
            connected=status.connected, ended=status.ended, reason=status.reason, captured_fps=captured_fps,
            inferred_fps=inferred_fps, totals=totals, age=age, answer=answer, in_flight=totals.pending,
            reconnects=max(0, status.connections - 1), errors=sum(totals.dropped[cause] for cause in _FAULTS),
            newest_s=status.age_s, found=words.brief(newest.result.output, newest.labels) if newest else "",
        )  # fmt: skip

    def _model_of(self, camera: str) -> Model:
        return self._models[self._plans[camera].model]
