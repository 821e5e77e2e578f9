"""Frames inside the requests: always there. The element type is the model's: UINT8 is a quarter of FP32."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit.stream import framing
from kit.stream.pixels import Packer, Sheet
from kit.stream.wire.interface import Offer, Parcel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class InlineCarrier:
    """One buffer for all frames: gRPC gets a copy of it, joined with the request's other parts."""

    name: str
    reason: str
    header: bytes
    sheet: Sheet
    buffer: memoryview = field(repr=False)

    def pack(self, image: npt.NDArray[np.uint8]) -> Parcel:
        """Send the decoder's own bytes where they fit as they are, else write them into the buffer."""
        if self.sheet.packer.layout.direct and image.flags.c_contiguous:
            box = self.sheet.canvas.fit(image)
            if box.unchanged:
                return Parcel(parts=(self.header, image.data.cast("B")), letterbox=box)
        return Parcel(parts=(self.header, self.buffer), letterbox=self.sheet.write(image))

    def release(self, parcel: Parcel, *, answered: bool) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""


class Inline:
    """The wire of every server."""

    name = "inline"
    title = "the requests"
    rank = 100

    def open(self, offer: Offer) -> InlineCarrier:
        """Encode what never changes."""
        layout = offer.contract.pixels
        start = framing.header(offer.contract.model, offer.contract.version, layout)
        buffer = bytearray(layout.byte_size)
        return InlineCarrier(
            name=self.name,
            reason=f"{layout.dtype.value} in the requests, {layout.byte_size / 1e3:,.0f} kB each",
            header=start + framing.raw(layout.byte_size),
            sheet=Packer(layout=layout).sheet(buffer),
            buffer=memoryview(buffer),
        )


MEMBER = Inline()
