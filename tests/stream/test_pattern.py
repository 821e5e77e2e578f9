"""Test pictures tell their number, also after lossy compression, and move."""

from __future__ import annotations

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.stream.pattern import PATTERNS, Pattern, read_number


@given(st.integers(0, 2**16 - 1), st.integers(16, 200), st.integers(8, 100), st.sampled_from(PATTERNS))
def test_the_number_is_read_back(number: int, width: int, height: int, name: str) -> None:
    pattern = Pattern(width=width, height=height, name=name)
    image = pattern.draw(number)
    assert (image.shape, image.dtype) == ((height, width, 3), np.uint8)
    assert read_number(image) == number
    assert np.array_equal(image, pattern.draw(number))


@pytest.mark.parametrize("name", PATTERNS)
def test_pictures_move_below_the_number(name: str) -> None:
    pattern = Pattern(width=320, height=240, name=name)
    pictures = [pattern.draw(number)[8:] for number in range(10)]
    for before, after in itertools.pairwise(pictures):
        assert np.mean(before != after) > 0.001


def test_the_number_survives_jpeg() -> None:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 320, 240, "yuvj420p", Fraction(1, 25)
    decoder = av.CodecContext.create("mjpeg", "r")
    pattern = Pattern(width=320, height=240)
    for number in (0, 1, 0x5555, 0xAAAA, 0xFFFF):
        frame = av.VideoFrame.from_ndarray(pattern.draw(number), format="rgb24").reformat(format="yuvj420p")
        frame.pts = number
        decoded = [f for packet in encoder.encode(frame) for f in decoder.decode(packet)]
        assert read_number(decoded[0].to_ndarray(format="rgb24")) == number
