"""Text that came from a file, made safe for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return the text with what a terminal would act on (colours, cursor moves, bells) spelled out: ``\x1b[2J``.

    Names in a model are whatever somebody wrote into the file.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
