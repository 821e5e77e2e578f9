"""Videos whose pictures tell their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from kit.stream.pattern import Pattern

FPS = 25
FRAMES = 250


def encoded(size: tuple[int, int], first: int, count: int, *, gop: int = 10) -> Iterator[Any]:
    """Yield H.264 packets of numbered pictures, each key frame with its parameter sets."""
    import av

    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, FPS), FPS
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(gop)}
    pattern = Pattern(width=size[0], height=size[1])
    for number in range(first, first + count):
        frame = av.VideoFrame.from_ndarray(pattern.draw(number), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def write_video(path: Path, *parts: tuple[tuple[int, int], int], index_first: bool = False) -> Path:
    """Write numbered pictures of one size after the other, ``((width, height), count)`` each."""
    import av

    with av.open(str(path), "w", options={"movflags": "faststart"} if index_first else {}) as container:
        stream: Any = container.add_stream("libx264", rate=FPS)
        (stream.width, stream.height), stream.pix_fmt = parts[0][0], "yuv420p"
        stream.codec_context.open()
        first = 0
        for size, count in parts:
            for packet in encoded(size, first, count):
                packet.stream = stream
                container.mux(packet)
            first += count
    return path
