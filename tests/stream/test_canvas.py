import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.stream.letterbox import PADDING, Canvas, Letterbox

SIZES = st.integers(1, 3000)
INPUTS = st.integers(16, 640)


@st.composite
def letterboxes(draw: st.DrawFn) -> Letterbox:
    return Letterbox(
        source_width=draw(SIZES), source_height=draw(SIZES), input_width=draw(INPUTS), input_height=draw(INPUTS)
    )


def canvas(height: int = 64, width: int = 96) -> Canvas:
    return Canvas(array=np.full((height, width, 3), 7, np.uint8))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def letterboxed(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """As Ultralytics' LetterBox has it, said once more and plainly."""
    import cv2

    scale = min(height / image.shape[0], width / image.shape[1])
    rows, columns = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
    scaled = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_LINEAR)
    top, left = (height - rows) // 2, (width - columns) // 2
    around = (top, height - rows - top, left, width - columns - left)
    return np.asarray(cv2.copyMakeBorder(scaled, *around, cv2.BORDER_CONSTANT, value=(PADDING,) * 3))


@given(letterboxes(), st.data())
def test_boxes_come_back_from_the_input(box: Letterbox, data: st.DataObject) -> None:
    unit = st.floats(0, 1, width=32)
    rows = data.draw(st.lists(st.tuples(unit, unit, unit, unit), max_size=4))
    boxes = np.array(rows, np.float32).reshape(-1, 4) * np.array([box.source_width, box.source_height] * 2, np.float32)
    step = max(box.source_width / box.size[0], box.source_height / box.size[1]) * 2e-4
    assert np.allclose(box.to_source(box.to_input(boxes)), boxes, rtol=1e-5, atol=step)


@given(letterboxes())
def test_boxes_are_cut_at_the_edges_of_the_source(box: Letterbox) -> None:
    everything = np.array([[-1e5, -1e5, 1e5, 1e5]], np.float32)
    assert box.to_source(everything).tolist() == [[0, 0, box.source_width, box.source_height]]


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=50)
def test_a_buffer_that_is_used_again_keeps_nothing_of_frames_before(sizes: list[tuple[int, int]]) -> None:
    used = canvas()
    for seed, (height, width) in enumerate(sizes):
        image = picture(height, width, seed)
        used.draw(image)
        assert np.array_equal(used.array, letterboxed(image, 64, 96))


def test_the_buffer_itself_is_written() -> None:
    used = canvas()
    before = used.array.__array_interface__["data"][0]
    used.draw(picture(480, 640))
    assert used.array.__array_interface__["data"][0] == before


def test_a_frame_of_the_inputs_size_needs_no_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from kit.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "cv2", None)
    used, image = canvas(), picture(64, 96)
    assert used.draw(image).unchanged
    assert np.array_equal(used.array, image)
    with pytest.raises(MissingExtraError, match=r"pip install 'triton-edge-kit\[camera\]'"):
        used.draw(picture(65, 96))


def test_the_programs_that_users_copy_put_frames_in_the_same_place() -> None:
    import importlib.util
    from pathlib import Path

    file = Path(__file__).parents[2] / "clients" / "letterbox.py"
    spec = importlib.util.spec_from_file_location("clients_letterbox", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["clients_letterbox"] = module
    spec.loader.exec_module(module)
    for height, width in ((480, 640), (1080, 1920), (333, 77), (1, 1000)):
        sizes = {"source_width": width, "source_height": height, "input_width": 320, "input_height": 320}
        ours, theirs = Letterbox(**sizes), module.Letterbox(**sizes)
        assert (ours.size, ours.offset) == (theirs.size, theirs.offset)
    del sys.modules["clients_letterbox"]
