"""Frames to a model and results back: always the newest frame, few requests under way, every frame accounted for.

    channel = Channel(url="localhost:8001")
    options = RequestOptions(model=ModelOptions(model="digits"))
    with Dispatcher(channel, options, on_result=print) as dispatcher:
        dispatcher.submit(frame)

Each frame that is submitted ends in exactly one call of ``on_result`` or ``on_drop``. ``submit`` never waits for the
server. One thread packs and sends, one reads answers and calls ``on_result``: as long as that call takes, the request
counts as under way, so that a slow reader slows the sender and memory does not grow.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kit.errors import KitError
from kit.stream import framing, session
from kit.stream.accounting import Cause
from kit.stream.announcer import Announcer
from kit.stream.channel import Channel
from kit.stream.contract import ModelOptions
from kit.stream.failures import CLOSED, CallFailedError, Failure, Trouble, of_call
from kit.stream.ledger import Ledger
from kit.stream.pacing import Pace
from kit.stream.pixels import RGB_CHANNELS
from kit.stream.results import Change, Counts, Dropped, Result, ServerEvent
from kit.stream.session import Flight, Session
from kit.stream.types import Frame

if TYPE_CHECKING:
    import grpc

_PROBE_TIMEOUT_S = 1.0
_REFUSED_PAUSE_S = 1.0
_SILENCE_S = 2.0
"""After so long without any answer a connection may be dead without a word: https://grpc.io/docs/guides/keepalive."""
_CANCEL_S = 1.0


@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """How a model is asked.

    ``freshness_s`` is how old a frame may be when its answer comes: older ones are not sent, and what is sent gets what
    is left of it as gRPC's deadline and as Triton's own timeout.
    """

    model: ModelOptions
    freshness_s: float = 1.0
    per_camera: int = 2
    overall: int = 8
    drain_s: float = 2.0
    without_wires: frozenset[str] = frozenset()


class Dispatcher:
    """See the module. ``on_drop`` and ``on_event`` may be called in any thread and must be quick."""

    def __init__(
        self,
        channel: Channel,
        options: RequestOptions,
        *,
        on_result: Callable[[Result], None],
        on_drop: Callable[[Dropped], None] = lambda _: None,
        on_event: Callable[[ServerEvent], None] = lambda _: None,
    ) -> None:
        self._channel, self._options = channel, options
        self._on_result, self._on_drop, self._announcer = on_result, on_drop, Announcer(on_event)
        self._ledger = Ledger(per_camera=options.per_camera, overall=options.overall, freshness_s=options.freshness_s)
        self._changed = self._ledger.changed  # one lock: what is below is read and written under it
        self._pace = Pace()
        self._session: Session | None = None
        self._calls: dict[Flight, grpc.Future] = {}
        self._without = dict.fromkeys(options.without_wires, "not wanted")
        self._refusal: KitError | None = None
        self._version = ""
        self._heard_ns = time.monotonic_ns()
        self._replies: queue.SimpleQueue[tuple[Flight, int] | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send_forever, name="kit-stream-send", daemon=True)
        self._receiver = threading.Thread(target=self._receive_forever, name="kit-stream-receive", daemon=True)

    def start(self) -> None:
        """Begin to look for the server, which may come later."""
        self._sender.start()
        self._receiver.start()

    def __enter__(self) -> Dispatcher:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def submit(self, frame: Frame) -> bool:
        """Let a frame wait for its turn, in place of an older one of its camera; False where the client is closing.

        Raises ``ValueError`` where the image is not [H, W, 3] uint8.
        """
        image = frame.image
        if image.ndim != 3 or image.shape[2] != RGB_CHANNELS or image.dtype.name != "uint8" or not image.size:
            raise ValueError(f"a frame is [H, W, 3] uint8, not {list(image.shape)} {image.dtype}")
        with self._changed:
            closed = self._ledger.closed
            cause, reason = (Cause.SHUTDOWN, "the client has ended") if closed else self._why_waiting(frame.camera)
            lost = self._ledger.put(frame, cause)
        if lost is not None:
            self._drop(lost, cause, reason)
        return not closed

    def wait_for_room(self, camera: str, timeout_s: float) -> bool:
        """Wait until no frame of a camera waits, so that the next one replaces none: for files, which lose nothing."""
        return self.wait_for(lambda: self._ledger.closed or not self._ledger.waits(camera), timeout_s)

    def has_room(self, camera: str) -> bool:
        """Return whether a frame of a camera would be sent at once, so that it is worth to take one."""
        with self._changed:
            able = self._session is not None and time.monotonic() >= self._pace.not_before_s
            return able and not self._ledger.full(camera) and not self._ledger.waits(camera)

    def why_no_room(self, camera: str) -> Cause:
        """Return what a frame of a camera is lost to that is superseded before it was submitted."""
        with self._changed:
            return self._why_waiting(camera)[0]

    def wait_for(self, event: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``event()``; it is asked again after each change here and each ``wake``."""
        with self._changed:
            return self._changed.wait_for(event, timeout_s)

    def wake(self) -> None:
        """Let ``wait_for`` ask again."""
        with self._changed:
            self._changed.notify_all()

    def wait_until_ready(self, timeout_s: float) -> bool:
        """Wait until requests can be sent; False where the server does not answer by then.

        Raises ``UnknownModelError``, ``ModelContractError`` or ``UnknownTaskError`` where waiting will not help.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._session is not None or self._refusal is not None, timeout_s)
            if self._refusal is not None:
                raise self._refusal
            return self._session is not None

    @property
    def counts(self) -> Counts:
        """What became of the frames so far."""
        return self._ledger.counts

    def close(self) -> None:
        """Take no more frames, wait for those that were taken (``drain_s`` at most), and end. May be called twice."""
        self._ledger.close()
        if self._sender.is_alive():
            self.wait_for(self._idle, self._options.drain_s)
        for frame in self._ledger.end():
            self._drop(frame, Cause.SHUTDOWN, "the client ended before its turn")
        if self._sender.ident is None:
            return  # it was never started
        self._sender.join(_PROBE_TIMEOUT_S * 4)
        with self._changed:
            calls = list(self._calls.values())
        for call in calls:
            call.cancel()
        self.wait_for(lambda: not self._ledger.in_flight, _CANCEL_S)
        self._replies.put(None)
        self._receiver.join(_CANCEL_S)
        self._use(None)

    def _idle(self) -> bool:
        """Return whether nothing is under way or can be sent; the lock is held."""
        return not self._ledger.in_flight and not (self._ledger.waiting and self._session)

    def _why_waiting(self, camera: str) -> tuple[Cause, str]:
        """Return why a camera's waiting frame could not be sent yet; the lock is held."""
        if self._session is None or time.monotonic() < self._pace.not_before_s:
            return Cause.SERVER_ERROR, self._announcer.trouble or "the server does not answer yet"
        if self._ledger.full(camera):
            return Cause.IN_FLIGHT, "as many requests as allowed are under way"
        return Cause.SUPERSEDED, "a newer frame came before its turn"

    # The thread that sends.

    def _send_forever(self) -> None:
        while not self._ledger.ended:
            for frame in self._ledger.stale():
                self._drop(frame, Cause.STALE, self._announcer.trouble or "it waited too long")
            with self._changed:
                due_s = self._pace.not_before_s - time.monotonic()
                current = self._session
                turn = self._ledger.take() if current is not None and due_s <= 0 else None
                if current is not None and turn is not None:
                    current.users += 1
                if turn is None and (current is not None or due_s > 0):
                    self._pause(due_s)
                    continue
            if current is None:
                self._connect()
            elif turn is not None:
                self._send(turn, current)

    def _pause(self, due_s: float) -> None:
        """Wait until something changes, or can be done by the clock; the lock is held."""
        stale_s = self._ledger.until_stale_s()
        pauses = [due_s] * (due_s > 0) + ([] if stale_s is None else [stale_s])
        if not self._ledger.ended:
            self._changed.wait(min(pauses, default=None))

    def _connect(self) -> None:
        """Agree with the server anew."""
        options = self._options
        try:
            made = session.begin(
                self._channel, options.model, slots=options.overall, timeout_s=_PROBE_TIMEOUT_S, without=self._without
            )
        except CallFailedError as error:
            if error.failure.trouble in (Trouble.DEADLINE, Trouble.UNREACHABLE):
                self._channel.reset()  # our own pace is quicker than gRPC's
            self._waiting_for_server(error.failure)
            return
        except KitError as error:
            with self._changed:
                self._refusal = error
                self._pace.failed(time.monotonic(), least_s=_REFUSED_PAUSE_S)
                self._changed.notify_all()
            self._announcer.say(Change.REFUSED, str(error))
            return
        self._heard_ns = time.monotonic_ns()
        self._use(made)
        self._announcer.say(Change.READY, made.describe())

    def _waiting_for_server(self, failure: Failure) -> None:
        least_s = _REFUSED_PAUSE_S if failure.trouble is Trouble.DENIED else 0.0
        with self._changed:
            self._pace.failed(time.monotonic(), least_s=least_s)
        if failure.trouble is not Trouble.CANCELLED:
            where = f"{self._options.model.model} at {self._channel.url}"
            self._announcer.say(Change.WAITING, f"{where} does not answer ({failure.text}); waiting for it")

    def _send(self, frame: Frame, current: Session) -> None:
        left_s = self._ledger.left_s(frame)
        try:
            parcel = current.pack(frame.image)
        except KitError as error:
            self._announcer.say(Change.REFUSED, str(error))
            self._leave(current)
            self._over(frame, Cause.SERVER_ERROR, str(error))
            with self._changed:
                self._refusal = error
            return
        request = b"".join((*parcel.parts, framing.timeout(max(1, int(left_s * 1e6)))))
        flight = Flight(frame=frame, parcel=parcel, session=current, sent_ns=time.monotonic_ns())
        try:
            call = self._channel.infer(request, max(0.001, left_s))
        except ValueError:  # the channel was closed this moment
            self._failed(flight, CLOSED)
            return
        with self._changed:
            self._calls[flight] = call
        call.add_done_callback(lambda _: self._replies.put((flight, time.monotonic_ns())))

    # The thread that receives.

    def _receive_forever(self) -> None:
        while (reply := self._replies.get()) is not None:
            flight, received_ns = reply
            with self._changed:
                call = self._calls.pop(flight)
            self._receive(flight, call, received_ns)

    def _receive(self, flight: Flight, call: Any, received_ns: int) -> None:
        import grpc

        try:
            message = call.result()
            output, version = flight.session.read(message, flight.parcel)
        except (grpc.RpcError, grpc.FutureCancelledError, CallFailedError) as error:
            self._failed(flight, of_call(error))
            return
        self._release(flight, answered=True)
        self._succeeded(flight, version, received_ns)
        result = Result(
            frame=flight.frame,
            output=output,
            model=flight.session.contract.model,
            version=version,
            sent_ns=flight.sent_ns,
            received_ns=received_ns,
            emitted_ns=time.monotonic_ns(),
            wire=flight.session.carrier.name,
            letterbox=flight.parcel.letterbox,
        )
        try:
            self._on_result(result)
        except Exception as error:  # noqa: BLE001 (whatever the reader does, the camera goes on)
            self._announcer.note(Change.SINK, f"a result was not taken: {type(error).__name__}: {error}")
        self._ledger.over(flight.frame, None)

    def _succeeded(self, flight: Flight, version: str, received_ns: int) -> None:
        with self._changed:
            self._heard_ns = received_ns
            flight.session.succeeded = True
            self._pace.succeeded()
            self._announcer.trouble = ""
            before, self._version = self._version, version
        if before and before != version:
            text = f"{flight.session.contract.model}: version {before} -> {version}"
            self._announcer.note(Change.VERSION, text)
            self._lose(flight.session)

    def _failed(self, flight: Flight, failure: Failure) -> None:
        """Do what a failure asks for, and let the frame wait again where that may help."""
        self._release(flight, answered=failure.trouble not in (Trouble.DEADLINE, Trouble.CANCELLED))
        trouble, frame, now_ns = failure.trouble, flight.frame, time.monotonic_ns()
        if trouble is Trouble.DEADLINE:
            if now_ns - self._heard_ns > max(_SILENCE_S, self._options.freshness_s) * 1e9:
                self._lose(flight.session, failure)
                self._channel.reset()
            self._over(frame, Cause.DEADLINE, "no answer came in time")
            return
        if trouble is not Trouble.CANCELLED:
            self._heed(flight.session, failure)
        if (failure.resend or trouble is Trouble.CANCELLED) and self._ledger.put_back(frame):
            return
        ending = (Cause.SHUTDOWN, "the client ended before its answer came")
        self._over(frame, *(ending if self._ledger.ended else (Cause.SERVER_ERROR, failure.text)))

    def _heed(self, current: Session, failure: Failure) -> None:
        if failure.trouble is not Trouble.UNREACHABLE:
            self._heard_ns = time.monotonic_ns()
        if failure.doubtful:
            if failure.trouble is Trouble.REGION and not current.succeeded:
                self._without[current.carrier.name] = f'the server said "{failure.text}"'
            self._lose(current, failure)
            return
        with self._changed:
            self._pace.failed(time.monotonic())
        self._announcer.say(Change.TROUBLE, f"{self._options.model.model} failed: {failure.text}")

    # Both.

    def _lose(self, old: Session, failure: Failure | None = None) -> None:
        """Agree anew before the next request, unless that was done since."""
        with self._changed:
            if self._session is not old:
                return
            if failure is not None:
                self._pace.failed(time.monotonic())
                if failure.trouble is Trouble.UNREACHABLE:  # the next one may take what this one did not
                    self._without = dict.fromkeys(self._options.without_wires, "not wanted")
        self._use(None)
        if failure is not None:
            self._announcer.say(Change.WAITING, f"{self._options.model.model} at {self._channel.url}: {failure.text}")

    def _use(self, new: Session | None) -> None:
        """Replace the session; the old one ends with its last request."""
        with self._changed:
            old, self._session = self._session, new
            if new is not None:
                self._refusal = None
                self._pace.not_before_s = 0.0
            done = old is not None and not old.users
            if old is not None:
                old.replaced = True
            self._changed.notify_all()
        if old is not None and done:
            old.carrier.close()

    def _release(self, flight: Flight, *, answered: bool) -> None:
        flight.session.carrier.release(flight.parcel, answered=answered)
        self._leave(flight.session)

    def _leave(self, used: Session) -> None:
        """End with a session what was begun when a frame's turn came."""
        with self._changed:
            used.users -= 1
            done = used.replaced and not used.users
        if done:
            used.carrier.close()

    def _over(self, frame: Frame, cause: Cause, reason: str) -> None:
        """Give a frame that was under way up."""
        self._ledger.over(frame, cause)
        self._drop(frame, cause, reason)

    def _drop(self, frame: Frame, cause: Cause, reason: str) -> None:
        try:
            self._on_drop(Dropped(frame=frame, cause=cause, reason=reason))
        except Exception as error:  # noqa: BLE001 (whatever the reader does, the camera goes on)
            self._announcer.note(Change.SINK, f"a loss was not taken: {type(error).__name__}: {error}")
