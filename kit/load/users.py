"""Locust users for Triton.

Import this module at the top of a locustfile, before anything opens a connection::

    from kit.load.users import TritonUser

    class Digits(TritonUser):
        host = "localhost:8001"
        model = "digits"

``locust --headless -u 8`` is then a closed loop of eight users. With ``rate = 50`` each user is an open loop of 50
requests a second. What else there is to say stands in the class. The command ``kit load`` needs no locustfile.
"""

from __future__ import annotations

import grpc.experimental.gevent

grpc.experimental.gevent.init_gevent()  # before any channel: without it, all users wait for each other's calls

import time  # noqa: E402
from typing import Any, ClassVar  # noqa: E402

import locust  # noqa: E402
from locust.exception import StopUser  # noqa: E402

from kit.load import driving  # noqa: E402
from kit.load.arrivals.interface import Scene  # noqa: E402
from kit.load.driving import Driver  # noqa: E402
from kit.load.profile import held  # noqa: E402
from kit.load.recording import Recorder  # noqa: E402
from kit.load.values import ModelShare, Plan  # noqa: E402
from kit.stream.failures import CallFailedError, Failure  # noqa: E402

_FOR_EVER_S = 1e9


class TritonUser(locust.User):
    """Sends to ``model`` (or ``models`` with weights) at ``host``: random values, or the pictures in ``images``.

    ``rate`` None: closed loop, a request when the last one was answered; else requests a second of each user, by
    ``arrivals`` (``constant``, ``poisson``, ``cameras`` with ``cameras``), whatever becomes of those before: latency
    counts from when a request was due. Tasks of your own may call ``self.infer()``.
    """

    abstract = True
    wait_time = locust.constant(0)
    host = "localhost:8001"
    model: str = ""
    models: ClassVar[dict[str, float]] = {}
    images: str | None = None
    batch: int = 1
    shapes: ClassVar[dict[str, tuple[int, ...]]] = {}
    protocol: str = "grpc"
    rate: float | None = None
    arrivals: str = "poisson"
    cameras: int = 1
    timeout_s: float = 5.0
    in_flight: int = 256

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.driver: Driver | None = None
        self.recorder: Recorder | None = None

    def plan(self) -> Plan:
        """Return the load of one user."""
        weights = self.models or {self.model: 1.0}
        return Plan(
            url=self.host,
            models=tuple(ModelShare(name=n, weight=w, batch=self.batch) for n, w in weights.items()),
            profile=held([self.rate or 1.0], _FOR_EVER_S),
            arrivals=None if self.rate is None else self.arrivals,
            scene=Scene(seed=id(self), cameras=self.cameras),
            protocol=self.protocol,
            images=self.images,
            shapes=self.shapes,
            warmup_s=0.0,
            timeout_s=self.timeout_s,
            in_flight=self.in_flight,
        )

    def on_start(self) -> None:
        """Connect and make the requests."""
        self.driver = driving.opened(self.plan(), self.seen)
        self.recorder = Recorder(plan=self.driver.plan, generator=0, start_s=time.monotonic())

    def on_stop(self) -> None:
        """Disconnect: a channel that lives on would block gevent's hub at the end, for ever."""
        if self.driver is not None:
            self.driver.stopping = True
            self.driver.connection.close()

    @locust.task
    def drive(self) -> None:
        """Send one request, or all that are due."""
        if self.rate is None:
            self.infer()
            return
        assert self.driver is not None
        assert self.recorder is not None
        self.driver.open_loop(self.recorder, part=0, parts=1)
        raise StopUser

    def infer(self) -> None:
        """Send the next request and wait for its answer; a failure is counted, and raises nothing."""
        assert self.driver is not None
        assert self.recorder is not None
        self.driver.closed_loop(self.recorder)

    def seen(self, share: ModelShare, response_s: float, failure: Failure | None) -> None:
        """Tell locust of a request, which keeps the figures."""
        if self.recorder is not None:
            self.recorder.forget()
        self.environment.events.request.fire(
            request_type=self.protocol,
            name=share.title,
            response_time=response_s * 1e3,
            response_length=0,
            exception=None if failure is None else CallFailedError(failure),
            context={},
        )
