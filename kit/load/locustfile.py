"""What locust runs for ``kit load``: users by a plan; what they count is told every half second.

Only the master knows the plan from its environment; to the others it comes by a message before they make users. A
process that is alone sends the same messages to itself.
"""

from __future__ import annotations

from kit.load.users import TritonUser  # the first import: it prepares grpc for gevent

# isort: split

import os
import signal
import sys
import time
from typing import Any

import gevent
import locust
import msgspec
from locust import LoadTestShape, events
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from kit.load import driving
from kit.load.agreed import BAD_OPENING, COUNTS, ENDING, PIPE, PLAN, PLANNED
from kit.load.driving import Driver
from kit.load.recording import Recorder
from kit.load.values import Message, ModelShare, Plan
from kit.stream.failures import CallFailedError, Failure

_TELL_S = 0.5
_LAST_WORDS_S = 3.0


class Part:
    """This process' part: its plan, and what sends and counts while it runs."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.driver: Driver | None = None
        self.recorder: Recorder | None = None
        self.ended = 0


_part = Part()


class Load(locust.User):
    """Requests of the plan: an open loop is one user in each process, in a closed loop each user is one."""

    wait_time = locust.constant(0)

    @locust.task
    def drive(self) -> None:
        """Send what is due, or one request."""
        driver, recorder, plan = _part.driver, _part.recorder, _part.plan
        if driver is None or recorder is None or plan is None or driver.stopping:
            raise StopUser
        if plan.arrivals is None:
            driver.closed_loop(recorder)
            return
        driver.open_loop(recorder, part=recorder.generator, parts=plan.generators)
        _close(self.environment.runner)
        raise StopUser


class Users(LoadTestShape):
    """How many users there are at a time."""

    def tick(self) -> tuple[int, float] | None:
        """Return the users and how many may start in a second; locust asks once a second."""
        plan = _part.plan
        assert plan is not None
        if plan.arrivals is not None:
            return plan.generators, float(plan.generators)
        users = round(plan.profile.at(max(0.0, self.get_run_time() - plan.warmup_s))[0])
        return max(1, users), float(max(1, users))


@events.init.add_listener
def _prepare(environment: Any, **_: Any) -> None:
    runner = environment.runner
    if not isinstance(runner, WorkerRunner):
        _part.plan = msgspec.json.decode(os.environ[PLAN], type=Plan)
        runner.register_message(COUNTS, _counts_came)
        # locust's own handler comes only when the users of a headless run have ended.
        gevent.signal_handler(signal.SIGTERM, _leave, environment)
    if not isinstance(runner, MasterRunner):
        runner.register_message(PLANNED, _plan_came)
        runner.register_message(ENDING, _end_came, concurrent=True)


def _plan_came(environment: Any, msg: Any, **_: Any) -> None:  # noqa: ARG001 (locust's names)
    _part.plan = msgspec.json.decode(msg.data, type=Plan)


def _counts_came(environment: Any, msg: Any, **_: Any) -> None:  # noqa: ARG001
    """Hand on what a process tells; ``kit load`` ends this one when all have ended."""
    line = memoryview(msg.data.encode() + b"\n")
    try:
        while line:
            line = line[os.write(int(os.environ[PIPE]), line) :]
    except BrokenPipeError:  # kit load was killed: nobody is left to end this process
        os._exit(BAD_OPENING)
    _part.ended += msgspec.json.decode(msg.data, type=Message).ended


def _end_came(environment: Any, **_: Any) -> None:
    """End before the plan does: what is under way may be answered for a moment."""
    driver, recorder = _part.driver, _part.recorder
    if driver is not None and recorder is not None:
        driver.stopping = True
        driving.answered(recorder, min(1.0, driver.plan.timeout_s))
    _close(environment.runner)


@events.test_start.add_listener
def _begin(environment: Any, **_: Any) -> None:
    runner = environment.runner
    _part.ended = 0
    if not isinstance(runner, WorkerRunner):
        assert _part.plan is not None
        runner.send_message(PLANNED, msgspec.json.encode(_part.plan).decode())
    if not isinstance(runner, MasterRunner):
        _open(environment)


def _open(environment: Any) -> None:
    """Connect, once for this process, and tell from now on what is counted."""
    plan = _part.plan
    assert plan is not None

    def seen(share: ModelShare, response_s: float, failure: Failure | None) -> None:
        environment.events.request.fire(
            request_type=plan.protocol, name=share.title, response_time=response_s * 1e3, response_length=0,
            exception=None if failure is None else CallFailedError(failure), context={},
        )  # fmt: skip

    try:
        _part.driver = driving.opened(plan, seen if plan.pages else driving.UNSEEN)
    except Exception as error:  # noqa: BLE001 (locust would log it, and go on without users)
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(BAD_OPENING)
    number = max(0, environment.runner.worker_index)
    _part.recorder = Recorder(plan=plan, generator=number, start_s=time.monotonic() + plan.warmup_s)
    gevent.spawn(_tell, environment.runner, _part.recorder)


def _tell(runner: Any, recorder: Recorder) -> None:
    plan = recorder.plan
    while _part.recorder is recorder:
        gevent.sleep(_TELL_S)
        if plan.arrivals is None and time.monotonic() > recorder.start_s + plan.profile.seconds:
            _end_came(runner.environment)
        elif _part.recorder is recorder:
            _send(runner, recorder.told())


def _send(runner: Any, message: Message) -> None:
    runner.send_message(COUNTS, msgspec.json.encode(message).decode())


def _close(runner: Any) -> None:
    """Tell the rest and disconnect, once: a channel that lives on would block gevent's hub at the end, for ever."""
    (recorder, _part.recorder), (driver, _part.driver) = (_part.recorder, None), (_part.driver, None)
    if driver is not None:
        driver.stopping = True
        driver.connection.close()
    if recorder is not None:
        _send(runner, recorder.told(ended=True))  # with the last of these, this process may be killed


@events.test_stop.add_listener
def _stopped(environment: Any, **_: Any) -> None:
    if not isinstance(environment.runner, MasterRunner):
        _close(environment.runner)


@events.quitting.add_listener
def _quitting(environment: Any, **_: Any) -> None:
    """Let all processes tell what they have counted before they go."""
    runner, plan = environment.runner, _part.plan
    if isinstance(runner, WorkerRunner) or plan is None or _part.ended >= plan.generators:
        return
    runner.send_message(ENDING)
    end_s = time.monotonic() + _LAST_WORDS_S
    while _part.ended < plan.generators and time.monotonic() < end_s:
        gevent.sleep(0.05)


def _leave(environment: Any) -> None:
    """End as asked by ``kit load``: all is told first, and workers are sent home."""
    _quitting(environment)
    environment.runner.quit()
    os._exit(0)


_ = TritonUser  # it was imported for what its module prepares
