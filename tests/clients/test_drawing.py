from pathlib import Path

import numpy as np
import pytest
from detector import Detection
from drawing import annotate, caption, color_of, contact_sheet, label_of, read_labels, to_frame
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

FRAME = np.full((120, 160, 3), 200, np.uint8)
COORDINATES = st.floats(0, 200, width=32)
DETECTIONS = st.builds(
    Detection,
    class_id=st.integers(0, 100),
    score=st.floats(0, 1),
    box=st.tuples(COORDINATES, COORDINATES, COORDINATES, COORDINATES),
)


def test_a_frame_without_detections_is_unchanged() -> None:
    assert (to_frame(annotate(FRAME, ())) == FRAME).all()


def test_the_box_has_its_class_s_color_at_its_place() -> None:
    found = Detection(class_id=3, score=0.9, box=(40, 50, 100, 90))
    drawn = to_frame(annotate(FRAME, (found,)))
    assert tuple(drawn[90, 70]) == color_of(3)
    assert tuple(drawn[70, 40]) == color_of(3)
    assert (drawn[60:80, 60:80] == 200).all()
    assert (FRAME == 200).all()


def test_zoom_moves_boxes_with_the_picture() -> None:
    found = Detection(class_id=3, score=0.9, box=(40, 50, 70, 55))
    drawn = annotate(FRAME, (found,), zoom=2)
    assert drawn.size == (320, 240)
    assert drawn.getpixel((110, 110)) == color_of(3)


@given(st.lists(DETECTIONS, max_size=4), st.floats(0.5, 3))
def test_any_detection_can_be_drawn(detections: list[Detection], zoom: float) -> None:
    assert caption(annotate(FRAME, detections, ("zero", "one"), zoom), "text").mode == "RGB"


@pytest.mark.parametrize(("count", "size"), [(0, (21, 10)), (1, (60, 80)), (5, (210, 150))])
def test_the_sheet_has_a_cell_for_each_picture(count: int, size: tuple[int, int]) -> None:
    pictures = [(f"{index}.jpg", Image.new("RGB", (40, 40))) for index in range(count)]
    assert contact_sheet(pictures, columns=4).size == size


def test_classes_have_different_colors() -> None:
    assert len({color_of(index) for index in range(80)}) == 80


def test_labels(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("cat\n\nstop sign\n")
    labels = read_labels(file)
    assert labels == ("cat", "", "stop sign")
    assert [label_of(Detection(class_id=i, score=1, box=(0, 0, 1, 1)), labels) for i in (0, 2, 3)] == [
        "cat",
        "stop sign",
        "3",
    ]
