"""Which boxes two models share, and where their marks and labels stand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import qualities
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qualities import box, jpeg

from kit.quality.pictures import Album, Pair, most_different_first
from kit.quality.values import Box, Sample


def pair(before: tuple[Box, ...] = (), after: tuple[Box, ...] = (), **more: object) -> Pair:
    return Album().pair(replace(Sample(name="a", jpeg=jpeg()), before=before, after=after, **more))  # type: ignore[arg-type]


def states(marks: tuple[object, ...]) -> list[str]:
    return sorted(mark.state for mark in marks)  # type: ignore[attr-defined]


def test_what_overlaps_and_has_the_same_name_is_the_same() -> None:
    found = pair((box(0, 0, 20, 20), box(30, 30, 40, 40)), (box(1, 0, 21, 20), box(30, 30, 40, 40, "dog")))
    assert states(found.before) == ["lost", "same"]
    assert states(found.after) == ["new", "same"]
    assert found.words == "2 before, 2 after: 1 lost, 1 new"


def test_each_box_has_one_partner_at_most() -> None:
    one = box(0, 0, 20, 20)
    assert states(pair((one, one), (one,)).before) == ["lost", "same"]


def test_equal_answers_are_said_to_be() -> None:
    boxes = (box(0, 0, 20, 20),)
    assert pair(boxes, boxes).words == "1 before, 1 after: the same boxes"
    assert pair().words == "nothing found by either"


def test_scores_that_moved_are_named() -> None:
    found = pair((box(0, 0, 20, 20, score=0.9),), (box(0, 0, 20, 20, score=0.61),))
    assert found.words.endswith("the same boxes, scores differ by up to 0.29")


def test_what_differs_most_comes_first() -> None:
    boxes = (box(0, 0, 20, 20),)
    same, moved, lost = pair(boxes, boxes), pair(boxes, (replace(boxes[0], score=0.5),)), pair(boxes, ())
    assert most_different_first([same, moved, lost]) == (lost, moved, same)


def test_of_very_many_boxes_the_surest_are_drawn() -> None:
    many = tuple(box(n, 0, n + 2, 9, score=n / 100) for n in range(100))
    found = pair(many, ())
    assert len(found.before) == 60
    assert min(float(mark.label.split()[-1]) for mark in found.before) == 0.4
    assert "the surest 60 of 100 are drawn" in found.words


def test_labels_stand_above_their_boxes_or_below_or_inside() -> None:
    """And in the picture: of 64 pixels here, in which a letter is 3 high."""
    top, middle = pair((box(2, 0, 9, 20), box(40, 30, 63, 40))).before
    assert top.text_top > 20
    assert middle.text_top < 30
    assert 40 <= middle.text_left < 60
    (whole,) = pair((box(0, 0, 64, 48),)).before
    assert 0 < whole.text_top < 20


def test_no_label_stands_on_another_where_there_is_room() -> None:
    first, second, third = pair((box(20, 20, 40, 40), box(20, 20, 40, 40, "dog"), box(21, 20, 40, 40, "pig"))).before
    lines = [mark.text_top for mark in (first, second, third)]
    assert min(abs(a - b) for a, b in ((lines[0], lines[1]), (lines[1], lines[2]), (lines[0], lines[2]))) > 3


@given(st.lists(st.tuples(*[st.floats(-20, 90)] * 4), max_size=9))
def test_a_label_begins_in_the_picture(corners: list[tuple[float, float, float, float]]) -> None:
    boxes = tuple(Box(corners=c, label="cat", score=0.5) for c in corners)
    for mark in pair(boxes).before:
        assert 0 <= mark.text_left < 64


def test_a_long_name_is_cut_on_the_picture_and_whole_below_the_pointer() -> None:
    (mark,) = pair((box(2, 2, 9, 20, "a very long name of a class"),)).before
    assert mark.label == "a very long nam… 0.90"
    assert mark.words == "a very long name of a class 0.900 at 2, 2, 9, 20"


def test_boxes_that_are_no_numbers_are_not_drawn() -> None:
    nowhere = box(float("nan"), 0, float("inf"), 9)
    assert pair((nowhere,), (nowhere,)).before == ()


@pytest.mark.parametrize(("content", "size"), [(jpeg(64, 48), (64, 48)), (b"", (52, 40)), (b"\xff\xd8\xff", (52, 40))])
def test_a_picture_has_its_own_size_or_that_of_its_boxes(content: bytes, size: tuple[int, int]) -> None:
    found = pair((box(4, 5, 52, 40),), jpeg=content)
    assert (found.picture.width, found.picture.height) == size


def test_a_picture_is_kept_once() -> None:
    album = Album()
    for color in ((1, 2, 3), (1, 2, 3), (200, 2, 3)):
        album.pair(Sample(name="a", jpeg=jpeg(color=color)))
    assert len(album.pictures) == 2


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(qualities.any_of(Box), max_size=6), st.lists(qualities.any_of(Box), max_size=6))
def test_turned_round_lost_is_new(before: list[Box], after: list[Box]) -> None:
    there, back = pair(tuple(before), tuple(after)), pair(tuple(after), tuple(before))
    assert [s == "lost" for s in states(there.before)].count(True) == states(back.after).count("new")
    assert len(there.before) - states(there.before).count("lost") == states(there.after).count("same")
