"""How frames travel to the server: one file per way; the cheapest that works is taken."""

from __future__ import annotations

from collections.abc import Mapping

from kit import axis
from kit.stream.wire.interface import Carrier, NotOfferedError, Offer, Wire


def every() -> tuple[Wire, ...]:
    """Return all wires, the cheapest first: the last one is always there."""
    found = [axis.member(__name__, name) for name in axis.names(__name__)]
    wires = [wire for wire in found if isinstance(wire, Wire)]
    return tuple(sorted(wires, key=lambda wire: wire.rank))


def choose(offer: Offer, without: Mapping[str, str]) -> tuple[Carrier, str]:
    """Open the cheapest wire that works, but for those in ``without`` (with the reason), and say why it is that one.

    Raises ``CallFailedError`` where the server has gone.
    """
    refused = []
    for wire in every():
        if wire.name in without:
            refused.append(f"not by {wire.title}: {without[wire.name]}")
            continue
        try:
            carrier = wire.open(offer)
        except NotOfferedError as error:
            refused.append(f"not by {wire.title}: {error}")
            continue
        return carrier, "; ".join([carrier.reason, *refused])
    raise AssertionError("the last wire is always offered")
