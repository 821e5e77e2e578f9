"""A model as a run asks it: one dispatcher for all of its cameras, its class names, and what it finds that is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kit.errors import KitError, UsageError
from kit.stream import contract, labels
from kit.stream.channel import Channel
from kit.stream.failures import CallFailedError
from kit.stream.plan import ModelPlan, Plan
from kit.stream.requests import Dispatcher, RequestOptions
from kit.stream.results import Change, Detections, Dropped, Result, ServerEvent

_LABELS_S = 2.0


class Model:
    """Results that it hands on hold only what is as sure as ``min_score``."""

    def __init__(
        self,
        key: str,
        plan: Plan,
        on_result: Callable[[Result], None],
        on_drop: Callable[[Dropped], None],
        on_event: Callable[[str, ServerEvent], None],
    ) -> None:
        self.key = key
        self.labels: tuple[str, ...] = ()
        self.wire = ""
        self._plan: ModelPlan = plan.models[key]
        self._on_result, self._on_event = on_result, on_event
        if self._plan.labels is not None:
            self.labels = read_labels(self._plan)
        self._channel = Channel(url=self._plan.url)
        options = RequestOptions(
            model=self._plan.options,
            freshness_s=plan.budget_of(key),
            per_camera=plan.in_flight,
            overall=plan.overall,
            without_wires=plan.without_wires,
        )
        self.dispatcher = Dispatcher(
            self._channel, options, on_result=self._pass_on, on_drop=on_drop, on_event=self._event
        )

    @property
    def name(self) -> str:
        """Return its name on the server."""
        return self._plan.name

    def drain(self, timeout_s: float) -> None:
        """Wait until every frame that was submitted has its answer."""

        def empty() -> bool:
            counts = self.dispatcher.counts
            return not counts.waiting and not counts.in_flight

        self.dispatcher.wait_for(empty, timeout_s)

    def close(self) -> None:
        """Ask no more."""
        self.dispatcher.close()
        self._channel.close()

    def _pass_on(self, result: Result) -> None:
        self.wire = result.wire
        self._on_result(_sure(result, self._plan.min_score))

    def _event(self, event: ServerEvent) -> None:
        """Ask for the class names before the first frame is sent to a model that is ready."""
        if event.change is Change.READY and self._plan.labels is None:
            try:
                agreed = contract.read(self._channel, self._plan.options, _LABELS_S)
                self.labels = labels.ask(self._channel, agreed, _LABELS_S)
            except (CallFailedError, KitError):
                self.labels = ()  # numbers are shown
        self._on_event(self.key, event)


def read_labels(plan: ModelPlan) -> tuple[str, ...]:
    """Return the class names of a file, one a line. Raises ``UsageError``."""
    assert plan.labels is not None
    try:
        return tuple(line.strip() for line in plan.labels.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{plan.labels} is not a file of class names, one a line; without it, the server is asked"
        ) from error


def _sure(result: Result, least: float) -> Result:
    output = result.output
    if not least or not isinstance(output, Detections):
        return result
    kept = output.scores >= least
    return replace(
        result, output=Detections(boxes=output.boxes[kept], scores=output.scores[kept], classes=output.classes[kept])
    )
