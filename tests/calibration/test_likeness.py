"""A copy is known again, whatever was done to it on its way; another picture of the same place is not a copy."""

from __future__ import annotations

import io

import numpy as np
import scenery
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from kit.calibration import features, likeness
from kit.calibration.features import SIDE, Looks


def looks(*pictures: Image.Image) -> Looks:
    squares = [p.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX) for p in pictures]
    return features.together([features.look(np.asarray(square, np.uint8)) for square in squares])


def same(first: Image.Image, second: Image.Image) -> bool:
    return bool(likeness.same_as(looks(first), looks(second))[0])


SEEDS = st.integers(0, 10_000)
TURNS = st.sampled_from([None, *Image.Transpose])


@settings(max_examples=40, deadline=None)
@given(SEEDS, TURNS, st.floats(0.4, 2.0), st.integers(40, 95), st.floats(0.85, 1.0))
def test_a_copy_is_known_turned_mirrored_scaled_lit_otherwise_and_stored_again(
    seed: int, turn: Image.Transpose | None, scale: float, quality: int, light: float
) -> None:
    original = scenery.scene(seed, (320, 240))
    copy = original if turn is None else original.transpose(turn)
    copy = copy.resize((round(copy.width * scale), round(copy.height * scale)), Image.Resampling.BICUBIC)
    copy = ImageEnhance.Brightness(copy).enhance(light)
    file = io.BytesIO()
    copy.save(file, "JPEG", quality=quality)
    assert same(Image.open(file), original)
    assert same(original, Image.open(file))


@settings(max_examples=30, deadline=None)
@given(SEEDS, SEEDS)
def test_different_scenes_are_different(first: int, second: int) -> None:
    assert same(scenery.scene(first), scenery.scene(second)) == (first == second)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(0, 260), st.integers(0, 180))
def test_something_that_moved_before_a_fixed_camera_makes_another_picture(seed: int, left: int, top: int) -> None:
    """A camera on a pole must not lose all its recordings to one validation picture of the same place."""
    place = scenery.scene(seed, (320, 240))
    moved = np.asarray(place).copy()
    region = moved[top : top + 60, left : left + 60]
    region[:] = 255 if region.mean() < 128 else 0
    assert not same(Image.fromarray(moved), place)


@given(st.integers(1, 6), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_different_counts_each_picture_once(count: int, seed: int) -> None:
    pictures = [scenery.scene(seed * 10 + number) for number in range(count)]
    again = [p.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for p in pictures]
    assert likeness.different(looks(*pictures, *again)) == count


def test_nothing_is_among_nothing() -> None:
    one = looks(scenery.scene(1))
    assert not likeness.same_as(one, looks()).any()
    assert likeness.same_as(looks(), one).shape == (0,)
    assert likeness.different(looks()) == 0


def test_more_pictures_than_are_compared_at_a_time() -> None:
    one, other = looks(scenery.scene(1)), looks(scenery.scene(2))
    many = one.part(np.zeros(likeness._ROWS + 5, np.intp))
    assert likeness.same_as(many, one).all()
    assert not likeness.same_as(many, other).any()
