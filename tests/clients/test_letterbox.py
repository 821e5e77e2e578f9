import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from letterbox import PADDING, Letterbox

SIZES = st.integers(1, 4000)
INPUTS = st.integers(32, 1280)


@st.composite
def letterboxes(draw: st.DrawFn) -> Letterbox:
    return Letterbox(
        source_width=draw(SIZES), source_height=draw(SIZES), input_width=draw(INPUTS), input_height=draw(INPUTS)
    )


@st.composite
def letterboxes_and_boxes(draw: st.DrawFn) -> tuple[Letterbox, np.ndarray]:
    letterbox = draw(letterboxes())
    unit = st.floats(0, 1, width=32)
    rows = draw(st.lists(st.tuples(unit, unit, unit, unit), max_size=5))
    scale = [letterbox.source_width, letterbox.source_height] * 2
    return letterbox, np.array(rows, np.float32).reshape(-1, 4) * np.array(scale, np.float32)


@given(letterboxes())
def test_the_scaled_frame_lies_in_the_input_and_touches_two_edges(letterbox: Letterbox) -> None:
    (width, height), (left, top) = letterbox.size, letterbox.offset
    assert 0 <= left <= left + width <= letterbox.input_width
    assert 0 <= top <= top + height <= letterbox.input_height
    assert width == letterbox.input_width or height == letterbox.input_height


@given(letterboxes())
def test_the_scaled_frame_is_in_the_middle(letterbox: Letterbox) -> None:
    (width, height), (left, top) = letterbox.size, letterbox.offset
    assert abs(letterbox.input_width - width - 2 * left) <= 1
    assert abs(letterbox.input_height - height - 2 * top) <= 1


@given(letterboxes_and_boxes())
def test_boxes_come_back_from_the_input(case: tuple[Letterbox, np.ndarray]) -> None:
    letterbox, boxes = case
    back = letterbox.to_source(letterbox.to_input(boxes))
    # One float32 step of an input coordinate, seen in the source.
    step = max(letterbox.source_width / letterbox.size[0], letterbox.source_height / letterbox.size[1]) * 2e-4
    assert np.allclose(back, boxes, rtol=1e-5, atol=step)


@given(letterboxes_and_boxes())
def test_boxes_in_the_source_lie_on_the_scaled_frame(case: tuple[Letterbox, np.ndarray]) -> None:
    letterbox, boxes = case
    mapped = letterbox.to_input(boxes)
    (width, height), (left, top) = letterbox.size, letterbox.offset
    assert (mapped >= np.array([left, top] * 2) - 1e-3).all()
    assert (mapped <= np.array([left + width, top + height] * 2) + 1e-3).all()


@given(letterboxes())
def test_boxes_are_cut_at_the_edges_of_the_source(letterbox: Letterbox) -> None:
    everything = np.array([[-1e4, -1e4, 1e4, 1e4]], np.float32)
    edges = [[0, 0, letterbox.source_width, letterbox.source_height]]
    assert letterbox.to_source(everything).tolist() == edges


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (100, 100), (1, 1000)])
def test_a_marked_pixel_is_found_where_its_box_says(width: int, height: int) -> None:
    frame = np.zeros((height, width, 3), np.uint8)
    letterbox = Letterbox(source_width=width, source_height=height, input_width=320, input_height=320)
    box = np.array([[width * 0.5, height * 0.25, width, height * 0.75]], np.float32)
    left, top, right, bottom = box[0].round().astype(int)
    frame[top:bottom, left:right] = 255
    ys, xs = np.nonzero(letterbox.apply(frame)[:, :, 0] > 200)
    if len(xs):
        found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert np.allclose(found, letterbox.to_input(np.array([[left, top, right, bottom]], np.float32))[0], atol=1.01)


def test_a_frame_of_the_inputs_size_is_sent_as_it_is() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8)
    letterbox = Letterbox(source_width=320, source_height=320, input_width=320, input_height=320)
    assert letterbox.apply(frame) is frame


def test_the_rest_is_grey() -> None:
    letterbox = Letterbox(source_width=640, source_height=480, input_width=320, input_height=320)
    made = letterbox.apply(np.zeros((480, 640, 3), np.uint8))
    assert made.shape == (320, 320, 3)
    assert (made[:40] == PADDING).all()
    assert (made[280:] == PADDING).all()
    assert (made[40:280] == 0).all()
