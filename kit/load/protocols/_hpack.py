"""Header blocks of HTTP/2, as far as a gRPC answer needs them: its status, found without a dynamic table.

A connection that allows a table of 0 bytes gets blocks that mean the same whenever they come.
Source: RFC 7541; the lengths of the Huffman code are those of its appendix B, whose codes follow from them.
"""

from __future__ import annotations

import functools

_STATUSES = {8: "200", 9: "204", 10: "206", 11: "304", 12: "400", 13: "404", 14: "500"}
"""What the static table holds of ``:status``; nothing else of it is asked for."""
_STATIC = 61
_END = 256
_LENGTHS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b080606060505050606060606"
    "060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e060f050605060506060605070706060605"
    "06070605050607070707070f0b0e0d1c1416141416161617161717171717181718181617181717171716151617161717181615141616171715"
    "1716161718151617171515161517161717141616161716161717171a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c"
    "1b1b1b14181415161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a1e"
)


def decoded(block: bytes) -> dict[str, str]:
    """Return the headers of a block that are not of the static table, and ``:status``.

    Raises ``ValueError`` where it is broken, or needs a dynamic table.
    """
    place, found = 0, {}
    while place < len(block):
        first = block[place]
        if first & 0x80:
            index, place = _integer(block, place, 7)
            name, value = _known(index), _STATUSES.get(index, "")
        elif first & 0xE0 == 0x20:
            _, place = _integer(block, place, 5)  # the size of a table that stays empty
            continue
        else:
            index, place = _integer(block, place, 6 if first & 0x40 else 4)
            if index:
                name = _known(index)
            else:
                name, place = _string(block, place)
            value, place = _string(block, place)
        if name:
            found[name] = value
    return found


def literal(name: str | int, value: str) -> bytes:
    """Return a header that enters no table; ``name`` may be its number in the static one."""
    if isinstance(name, str):
        return b"\0" + _plain(name) + _plain(value)
    return (bytes([name]) if name < 15 else bytes([15, name - 15])) + _plain(value)


def _known(index: int) -> str:
    if not 0 < index <= _STATIC:
        raise ValueError(f"header {index} is of a dynamic table, which was not allowed")
    return ":status" if index in _STATUSES else ""


def _plain(text: str) -> bytes:
    content, length = text.encode(), len(text.encode())
    if length < 127:
        return bytes([length]) + content
    rest, sizes = length - 127, bytearray([127])
    while rest >= 128:
        sizes.append(rest % 128 + 128)
        rest //= 128
    return bytes(sizes) + bytes([rest]) + content


def _integer(block: bytes, place: int, bits: int) -> tuple[int, int]:
    """Return a number whose first byte has so many bits of it, and the place after it."""
    most = (1 << bits) - 1
    number, place = _byte(block, place) & most, place + 1
    if number < most:
        return number, place
    for shift in range(0, 35, 7):
        byte, place = _byte(block, place), place + 1
        number += (byte & 127) << shift
        if byte < 128:
            return number, place
    raise ValueError("a number of a header has no end")


def _byte(block: bytes, place: int) -> int:
    if place >= len(block):
        raise ValueError("a header ends too early")
    return block[place]


def _string(block: bytes, place: int) -> tuple[str, int]:
    coded = _byte(block, place) & 0x80
    length, place = _integer(block, place, 7)
    content = block[place : place + length]
    if len(content) < length:
        raise ValueError("a header ends too early")
    return (_unpacked(content) if coded else content).decode("utf-8", "replace"), place + length


@functools.cache
def _codes() -> dict[tuple[int, int], int]:
    """Return symbols by the length and value of their code: shorter ones first, equal ones in their order."""
    code, length, found = 0, 0, {}
    for symbol in sorted(range(_END + 1), key=lambda symbol: (_LENGTHS[symbol], symbol)):
        code <<= _LENGTHS[symbol] - length
        length = _LENGTHS[symbol]
        found[length, code] = symbol
        code += 1
    return found


def _unpacked(content: bytes) -> bytes:
    codes, found, code, length = _codes(), bytearray(), 0, 0
    for number in content:
        for shift in range(7, -1, -1):
            code, length = code << 1 | number >> shift & 1, length + 1
            symbol = codes.get((length, code))
            if symbol == _END or length > 30:
                raise ValueError("a header's text is broken")
            if symbol is not None:
                found.append(symbol)
                code, length = 0, 0
    return bytes(found)  # what is left is padding
