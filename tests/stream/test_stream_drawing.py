"""What is drawn lies where it was found; every output can be drawn on every picture."""

from __future__ import annotations

import emissions
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kit.stream import drawing
from kit.stream.results import Classification, Detections, Embedding, Instances, Output, Poses, Segmentation, Tensors

FRAME = np.full((120, 160, 3), 200, np.uint8)
PIXEL = st.floats(-50, 400, width=32)
FOUND = st.lists(
    st.tuples(st.integers(0, 100), st.floats(0, 1, width=32), st.tuples(PIXEL, PIXEL, PIXEL, PIXEL)), max_size=4
)
ONE = emissions.detections(((3, 0.9, (40, 50, 100, 90)),))


def pixels(output: Output, labels: tuple[str, ...] = (), zoom: float = 1) -> np.ndarray:
    return np.asarray(drawing.annotate(FRAME, output, labels, zoom=zoom))


def test_a_frame_without_detections_is_unchanged() -> None:
    assert (pixels(emissions.detections()) == FRAME).all()
    assert (pixels(Embedding(vector=np.ones(4, np.float32))) == FRAME).all()


def test_a_box_has_its_classes_colour_at_its_place_and_the_frame_stays_as_it_was() -> None:
    drawn = pixels(ONE)
    assert tuple(drawn[90, 70]) == tuple(drawn[70, 40]) == drawing.color_of(3)
    assert (drawn[60:80, 60:80] == 200).all()
    assert (FRAME == 200).all()


def test_zoom_moves_boxes_with_the_picture() -> None:
    drawn = pixels(emissions.detections(((3, 0.9, (40, 50, 70, 55)),)), zoom=2)
    assert drawn.shape == (240, 320, 3)
    assert tuple(drawn[110, 110]) == drawing.color_of(3)


def test_a_mask_tints_what_it_covers() -> None:
    masks = np.zeros((1, 12, 16), np.uint8)
    masks[0, :6] = 1
    drawn = pixels(Instances(**vars(ONE), masks=masks, source_width=160, source_height=120))
    assert (drawn[10, 120] != 200).any()
    assert (drawn[110, 120] == 200).all()


def test_segments_are_tinted_but_for_the_background() -> None:
    classes = np.zeros((12, 16), np.uint8)
    classes[:, 8:] = 2
    drawn = pixels(Segmentation(classes=classes, source_width=160, source_height=120))
    assert (drawn[:, :79] == 200).all()
    assert (drawn[5, 81:] != 200).any(axis=1).all()


def test_keypoints_that_are_seen_are_dotted() -> None:
    points = np.array([[[20, 20, 0.9], [140, 20, 0.1]]], np.float32)
    drawn = pixels(Poses(**vars(ONE), keypoints=points))
    assert tuple(drawn[20, 20]) == drawing.color_of(3)
    assert (drawn[20, 140] == 200).all()


def test_a_classifiers_bars_are_as_long_as_it_is_sure() -> None:
    def length(share: float) -> int:
        drawn = pixels(Classification(probabilities=np.array([share, 1 - share], np.float32)), ("cat", "dog"))
        return int((drawn == drawing.color_of(0)).all(axis=2).any(axis=0).sum())

    assert length(0.9) > length(0.6) > 20


@given(FOUND, st.floats(0.3, 3), st.integers(1, 200), st.integers(1, 200))
def test_any_detection_can_be_drawn_on_any_picture(found: list, zoom: float, width: int, height: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    drawn = drawing.annotate(image, emissions.detections(found), ("zero", "", "two"), zoom=zoom)
    assert drawing.caption(drawn, "text").mode == "RGB"


@pytest.mark.parametrize("size", [(1, 1), (7, 900), (1920, 1080)])
@pytest.mark.parametrize(
    "output",
    [
        Classification(probabilities=np.array([0.3, 0.7], np.float32)),
        Segmentation(classes=np.array([[0, 1]], np.uint8), source_width=2, source_height=1),
        Tensors(arrays={"y": np.zeros((3, 4))}),
        Detections(boxes=np.array([[0, 0, 9e9, np.inf]], np.float32), scores=np.ones(1, np.float32),
                   classes=np.array([-1], np.int32)),
    ],
    ids=lambda output: type(output).__name__,
)  # fmt: skip
def test_any_output_can_be_drawn(output: Output, size: tuple[int, int]) -> None:
    assert drawing.annotate(np.zeros((size[1], size[0], 3), np.uint8), output).size == size


def test_the_strip_says_who_how_fast_and_how_late() -> None:
    plain = drawing.annotate(FRAME, emissions.detections())
    drawn = drawing.draw(emissions.emission(picture=FRAME))
    assert (np.asarray(drawn)[:90] == np.asarray(plain)[:90]).all()
    assert (np.asarray(drawn)[-5:] != np.asarray(plain)[-5:]).any()


@pytest.mark.parametrize(("count", "size"), [(0, (21, 10)), (1, (60, 80)), (5, (210, 150))])
def test_the_sheet_has_a_cell_for_each_picture(count: int, size: tuple[int, int]) -> None:
    pictures = [(f"{index}.jpg", Image.new("RGB", (40, 40))) for index in range(count)]
    assert drawing.contact_sheet(pictures, columns=4).size == size


def test_classes_have_different_colours() -> None:
    assert len({drawing.color_of(index) for index in range(80)}) == 80
