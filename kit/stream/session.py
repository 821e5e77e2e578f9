"""What is agreed with a server about a model, until the server or the model changes: contract, wire and decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit.stream import contract, decode, framing, wire
from kit.stream.channel import Channel
from kit.stream.contract import ModelContract, ModelOptions
from kit.stream.decode.interface import Decoder, Reading
from kit.stream.failures import CallFailedError, Failure, Trouble
from kit.stream.results import Output
from kit.stream.types import Frame
from kit.stream.wire.interface import Carrier, Offer, Parcel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(kw_only=True)
class Session:
    """Requests are packed in one thread and answers read in another. ``wire_reason`` says why it is that wire."""

    channel: Channel
    contract: ModelContract
    carrier: Carrier
    wire_reason: str
    decoder: Decoder
    succeeded: bool = False
    """Whether a frame had an answer."""
    users: int = field(default=0, repr=False)
    """Requests that are not yet over."""
    replaced: bool = False
    """Whether it is only kept for those."""

    def pack(self, image: npt.NDArray[np.uint8]) -> Parcel:
        """Make a frame ready to travel. Raises ``MissingExtraError`` where it must be scaled without OpenCV."""
        return self.carrier.pack(image)

    def read(self, message: bytes, parcel: Parcel) -> tuple[Output, str]:
        """Return what an answer means, and the version that made it. Raises ``CallFailedError`` where it is odd."""
        answer = framing.parse(message, batched=self.contract.pixels.batched)
        agreed = self.contract
        reading = Reading(letterbox=parcel.letterbox, thresholds=agreed.thresholds, shown=agreed.shown)
        try:
            return self.decoder.decode(answer.arrays, reading), answer.version
        except (KeyError, ValueError, IndexError) as error:
            said = f"the answer is not what {self.contract.task} expects ({error}); it has {', '.join(answer.arrays)}"
            raise CallFailedError(Failure(trouble=Trouble.MISFIT, text=said)) from error

    def describe(self) -> str:
        """Say in one line what is asked, what is sent and why so."""
        agreed = self.contract
        version = agreed.version or "/".join(agreed.versions)
        return (
            f"{agreed.model} version {version} at {self.channel.url} ({agreed.server}): {agreed.task}, by "
            f"{agreed.reason}; {agreed.pixels}; {self.wire_reason}"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Flight:
    """A request that is under way."""

    frame: Frame
    parcel: Parcel
    session: Session
    sent_ns: int


def begin(
    channel: Channel, options: ModelOptions, *, slots: int, timeout_s: float, without: Mapping[str, str] | None = None
) -> Session:
    """Ask the server about the model, and choose how frames travel, but for the wires in ``without`` (and why).

    Raises ``CallFailedError`` where the server does not answer or the model is not ready, ``UnknownModelError``,
    ``ModelContractError`` and ``UnknownTaskError``.
    """
    agreed = contract.read(channel, options, timeout_s)
    if not channel.ready(options.model, timeout_s, options.version):
        raise CallFailedError(Failure(trouble=Trouble.NOT_READY, text=f"{options.model} is not ready"))
    offer = Offer(channel=channel, contract=agreed, slots=slots, timeout_s=timeout_s)
    carrier, reason = wire.choose(offer, without or {})
    return Session(
        channel=channel,
        contract=agreed,
        carrier=carrier,
        wire_reason=reason,
        decoder=decode.get(agreed.decoder),
    )
