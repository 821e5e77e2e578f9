"""One question at a time to a model, with an answer to wait for: crops of a frame that another model found.

    with Asker("localhost:8001", "classifier") as classifier:
        for answer in classifier.ask([crop, crop]):
            print(answer)

For cameras there is ``kit.stream.run``, which loses frames rather than to wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from kit.errors import NoAnswerError
from kit.stream import contract, framing, labels, session
from kit.stream.channel import Channel
from kit.stream.contract import ModelOptions
from kit.stream.failures import CallFailedError, of_call
from kit.stream.results import Output
from kit.stream.session import Session

if TYPE_CHECKING:
    import grpc
    import numpy as np
    import numpy.typing as npt

    from kit.stream.wire.interface import Parcel

    Image: TypeAlias = npt.NDArray[np.uint8]

_SLOTS = 8
TIMEOUT_S = 2.0


class Asker:
    """A model on a server; threads may share it. It connects with the first question, and anew after a failure."""

    def __init__(self, url: str, model: str | ModelOptions, *, timeout_s: float = TIMEOUT_S) -> None:
        self._options = ModelOptions(model=model) if isinstance(model, str) else model
        self._channel = Channel(url=url)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._labels: tuple[str, ...] | None = None

    def __enter__(self) -> Asker:
        """Nothing is connected yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def ask(self, images: Sequence[Image]) -> list[Output]:
        """Return what the model says of pictures [H, W, 3] (uint8, RGB) of any sizes, in their order.

        Some are under way at once, so that the server may make a batch of them. Raises ``NoAnswerError``, and
        ``KitError`` where the server has no such model.
        """
        with self._lock:
            deadline = time.monotonic() + self._timeout_s
            try:
                current = self._connected()
                starts = range(0, len(images), _SLOTS)
                return [
                    answer for at in starts for answer in self._answers(current, images[at : at + _SLOTS], deadline)
                ]
            except CallFailedError as error:
                self._forget()
                said = f"{self._options.model} at {self._channel.url} gave no answer: {error.failure.text}"
                raise NoAnswerError(said) from error

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the model's classes that the server gives; asked for once. Raises as ``ask``."""
        if self._labels is None:
            try:
                agreed = contract.read(self._channel, self._options, self._timeout_s)
                self._labels = labels.ask(self._channel, agreed, self._timeout_s)
            except CallFailedError as error:
                raise NoAnswerError(f"{self._options.model} at {self._channel.url}: {error.failure.text}") from error
        return self._labels

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._forget()
            self._channel.close()

    def _connected(self) -> Session:
        if self._session is None:
            self._session = session.begin(self._channel, self._options, slots=_SLOTS, timeout_s=self._timeout_s)
        return self._session

    def _forget(self) -> None:
        if self._session is not None:
            self._session.carrier.close()
            self._session = None

    def _answers(self, current: Session, images: Sequence[Image], deadline: float) -> Iterator[Output]:
        sent: list[tuple[Parcel, grpc.Future]] = []
        try:
            for image in images:
                parcel = current.pack(image)
                left_s = max(0.001, deadline - time.monotonic())
                request = b"".join((*parcel.parts, framing.timeout(int(left_s * 1e6))))
                sent.append((parcel, self._channel.infer(request, left_s)))
            while sent:
                yield self._answer(current, *sent[0])
                current.carrier.release(sent.pop(0)[0], answered=True)
        finally:
            for parcel, call in sent:
                call.cancel()
                current.carrier.release(parcel, answered=False)

    @staticmethod
    def _answer(current: Session, parcel: Parcel, call: grpc.Future) -> Output:
        import grpc

        try:
            message = call.result()
        except grpc.RpcError as error:
            raise CallFailedError(of_call(error)) from error
        output, _ = current.read(message, parcel)
        return output
