"""Sending requests when they are due (open loop) or when the last one was answered (closed loop), in greenlets."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from kit.load import arrivals, protocols
from kit.load.profile import Clock
from kit.load.protocols.interface import Connection, Done
from kit.load.recording import Due, Recorder
from kit.load.requests import feeds
from kit.load.values import ModelShare, Plan
from kit.load.waiting import Alarm
from kit.stream.failures import CLOSED, Failure, Trouble

TIMEOUT_S = 10.0
"""For questions that are not requests."""

REFUSED = Failure(trouble=Trouble.BUSY, text="refused: too many requests were under way")
"""An arrival that was not sent; the server never saw it."""
_HEARD_S = 0.5
"""A wish to stop is heard after this time."""
_LOOK_S = 0.02
_PAUSE_S = 0.05
"""A user whose request failed waits so long: a call to a server that is not there fails in half a millisecond."""

Seen: TypeAlias = "Callable[[ModelShare, float, Failure | None], None]"
"""Is told of each request that has ended: the model, the response time in seconds, and why it failed."""
UNSEEN: Seen = lambda *_: None  # noqa: E731 (a name for nothing)


@dataclass(kw_only=True)
class Loaded:
    """A model with its requests, ready to be sent."""

    share: ModelShare
    requests: Sequence[object]
    _next: int = 0

    def request(self) -> object:
        """Return the next one; after the last comes the first."""
        self._next += 1
        return self.requests[self._next % len(self.requests)]


@dataclass(kw_only=True)
class Driver:
    """One process' part of a load. Raises ``CallFailedError`` and ``KitError`` when it is opened, never later."""

    plan: Plan
    connection: Connection
    loaded: tuple[Loaded, ...]
    seen: Seen = UNSEEN
    stopping: bool = False
    _random: random.Random = field(default_factory=random.Random)

    def choose(self) -> Loaded:
        """Return a model, as often as its weight says."""
        if len(self.loaded) == 1:
            return self.loaded[0]
        weights = [loaded.share.weight for loaded in self.loaded]
        return self._random.choices(self.loaded, weights)[0]

    def start(self, loaded: Loaded, due: Due, recorder: Recorder, then: Done = lambda _: None) -> None:
        """Send a request; what becomes of it is counted, and then told."""
        sent_s = time.monotonic()

        def done(failure: Failure | None) -> None:
            done_s = time.monotonic()
            recorder.in_flight -= 1
            if failure is not CLOSED or not self.stopping:  # what is given up at the end has not failed
                recorder.ended(due, sent_s, done_s, failure)
                self.seen(loaded.share, done_s - due.at_s, failure)
            then(failure)

        recorder.in_flight += 1
        self.connection.submit(loaded.request(), self.plan.timeout_s, done)

    def open_loop(self, recorder: Recorder, *, part: int, parts: int) -> None:
        """Send every request of this process' part when it is due, until the profile ends, and wait for the answers."""
        begin_s = recorder.start_s - self.plan.warmup_s
        hopeless_s = recorder.start_s + self.plan.profile.seconds + self.plan.timeout_s
        with Alarm() as alarm:
            for due_s, phase in schedule(self.plan, part, parts):
                at_s = begin_s + due_s
                while not self.stopping and at_s - time.monotonic() > _HEARD_S:
                    alarm.wait_until(time.monotonic() + _HEARD_S)
                if self.stopping or time.monotonic() > hopeless_s:  # of a rate that no process can send, much is left
                    break
                alarm.wait_until(at_s)  # where it has passed, those that were made begin
                self._arrive(recorder, phase, at_s)
        answered(recorder, self.plan.timeout_s + 1)

    def _arrive(self, recorder: Recorder, phase: int, at_s: float) -> None:
        loaded = self.choose()
        due = Due(phase=phase, model=loaded.share.title, at_s=at_s)
        hopeless = time.monotonic() - at_s > self.plan.timeout_s
        if recorder.in_flight >= self.plan.in_flight or hopeless:
            recorder.refused(due)
            self.seen(loaded.share, time.monotonic() - at_s, REFUSED)
            return
        self.start(loaded, due, recorder)

    def closed_loop(self, recorder: Recorder) -> None:
        """Send a request, now, and wait for its answer: what one user does again and again."""
        from gevent import sleep
        from gevent.event import AsyncResult

        loaded, now_s = self.choose(), time.monotonic()
        _, phase = self.plan.profile.at(max(0.0, now_s - recorder.start_s))
        answer: AsyncResult = AsyncResult()
        self.start(loaded, Due(phase=phase, model=loaded.share.title, at_s=now_s), recorder, answer.set)
        if answer.get() is not None:
            sleep(_PAUSE_S)


def answered(recorder: Recorder, timeout_s: float) -> None:
    """Wait until nothing is under way, but not for longer than this."""
    from gevent import sleep

    end_s = time.monotonic() + timeout_s
    while recorder.in_flight and time.monotonic() < end_s:
        sleep(_LOOK_S)


def opened(plan: Plan, seen: Seen = UNSEEN) -> Driver:
    """Connect, make all requests and send one of each model, which waits until the server has warmed up.

    Raises ``CallFailedError`` where the server or a model is not there, and ``KitError`` where what it says does not
    fit what is asked for.
    """
    connection = protocols.get(plan.protocol).connect(plan.url)
    try:
        loaded = []
        for share in plan.models:
            signature = connection.signature(share, TIMEOUT_S)
            made = feeds(signature, share, plan.images, plan.shapes)
            loaded.append(Loaded(share=share, requests=connection.requests(share, made, TIMEOUT_S)))
            connection.send(loaded[-1].request(), max(TIMEOUT_S, plan.timeout_s))
    except BaseException:
        connection.close()
        raise
    return Driver(
        plan=plan,
        connection=connection,
        loaded=tuple(loaded),
        seen=seen,
        _random=random.Random(plan.scene.seed),  # noqa: S311 (no secret)
    )


def schedule(plan: Plan, part: int, parts: int) -> Iterator[tuple[float, int]]:
    """Yield when this part's arrivals are due, in seconds from the start of the warm-up, and their phase.

    The phase is that of the plan's profile; the warm-up's is 0. All parts together give the plan's arrivals, each once.
    """
    assert plan.arrivals is not None
    clock = Clock(plan.profile.preceded(plan.warmup_s))
    ahead = 1 if plan.warmup_s else 0
    points = arrivals.get(plan.arrivals).points(plan.scene)
    for point in itertools.islice(points, part, None, parts):
        found = clock.time_s(point)
        if found is None:
            return
        yield found[0], max(0, found[1] - ahead)
