"""The demo's mistakes, with no server and with a real one, and what a real one finds in the example's pictures."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import demo
import numpy as np
import pytest
from detector import Detection, Detector, DetectorError

from kit import cli
from kit.server import embedded
from kit.server.interface import ServerOptions

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Serve the example's repository, as ``kit generate`` makes it."""
    reason = embedded.unavailable_reason()
    if reason is not None:
        pytest.skip(reason)
    repository = tmp_path_factory.mktemp("served") / "model_repository"
    assert (
        cli.run(["generate", str(DIGITS / "digits.onnx"), "--output", str(repository), "--no-verify", "--quiet"]) == 0
    )
    with embedded.running(ServerOptions(repository=repository)) as running:
        yield SimpleNamespace(url=running.grpc_url, labels=repository / "digits" / "labels.txt")


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text.strip()


def test_no_server(closed_port: int, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"127.0.0.1:{closed_port}"
    assert demo.main(["--url", url, "--output", str(tmp_path)]) == 1
    assert one_line(capsys) == f"demo: no Triton server answers at {url} (gRPC); start one with: kit serve DIR"


def test_no_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--images", str(tmp_path)]) == 1
    assert one_line(capsys) == f"demo: no .jpg or .png in {tmp_path}; choose another folder with --images"


def test_no_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--labels", str(tmp_path / "none")]) == 1
    assert one_line(capsys) == f"demo: {tmp_path / 'none'} is not a file of class names, one a line"


@pytest.mark.parametrize("content", [None, b"", b"no video"])
def test_an_unreadable_video(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "video.mp4"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(
        demo.InputError, match=r"video.mp4 is not a video that can be read; choose another with --video$"
    ):
        next(demo.read_video(file))


def test_an_unreadable_image(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"no picture")
    with pytest.raises(demo.InputError, match=r"a.jpg is not a picture that can be read$"):
        demo.read_image(file)


@pytest.mark.live
def test_a_model_that_is_not_there(server: SimpleNamespace) -> None:
    expected = f"^the server at {server.url} has no model letters that is ready; it has digits$"
    with pytest.raises(DetectorError, match=expected):
        Detector(server.url, "letters")


@pytest.mark.live
def test_the_digits_are_found(server: SimpleNamespace) -> None:
    """At least 80 % of the digits in 40 pictures: right class, IoU at least 0.5, confidence at least 0.5."""
    truth = json.loads((DIGITS / "test" / "annotations.json").read_text())
    found = total = 0
    detector = Detector(server.url, "digits")
    for image in truth["images"][:40]:
        frame = demo.read_image(DIGITS / "test" / "images" / image["file_name"])
        detections = [d for d in detector.detect(frame) if d.score >= 0.5]
        digits = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        total += len(digits)
        found += sum(any(matches(d, digit) for d in detections) for digit in digits)
    detector.close()
    assert found / total >= 0.8, f"{found} of {total}"


@pytest.mark.live
def test_a_frame_of_another_size_gives_boxes_in_its_own_pixels(server: SimpleNamespace) -> None:
    frame = demo.read_image(DIGITS / "test" / "images" / "00000.jpg")
    wide = cv2.copyMakeBorder(cv2.resize(frame, (640, 640)), 0, 0, 160, 160, cv2.BORDER_CONSTANT, value=(114,) * 3)
    detector = Detector(server.url, "digits")
    plain, moved = detector.detect(frame)[0], detector.detect(np.ascontiguousarray(wide))
    detector.close()
    expected = np.array(plain.box) * 2 + [160, 0, 160, 0]
    assert any(d.class_id == plain.class_id and np.abs(expected - d.box).max() < 12 for d in moved)


@pytest.mark.live
def test_the_whole_program(server: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--url", server.url, "--labels", str(server.labels), "--count", "3", "--output", str(tmp_path)]
    assert demo.main(options) == 0
    printed = capsys.readouterr().out
    assert "digits at" in printed
    assert "3 images, " in printed
    assert "105 frames, decoded, sent and answered" in printed
    assert (tmp_path / "images.jpg").stat().st_size > 10_000
    assert sum(1 for _ in demo.read_video(tmp_path / "video.mp4")) == 105


@pytest.mark.live
def test_answers_come_in_the_order_of_the_frames(server: SimpleNamespace) -> None:
    frames = [demo.read_image(f) for f in demo.image_files(DIGITS / "test" / "images", 12)]
    detector = Detector(server.url, "digits")
    alone = [detector.detect(frame) for frame in frames]
    together = list(demo.stream(detector, frames, 5))
    detector.close()
    assert [len(a.detections) for a in together] == [len(d) for d in alone]
    assert [a.detections[0].class_id for a in together] == [d[0].class_id for d in alone]
    assert all(a.latency_ms > 0 for a in together)


def matches(detection: Detection, digit: dict) -> bool:
    x, y, width, height = digit["bbox"]
    left, top, right, bottom = detection.box
    shared = max(0, min(right, x + width) - max(left, x)) * max(0, min(bottom, y + height) - max(top, y))
    union = (right - left) * (bottom - top) + width * height - shared
    return detection.class_id == digit["category_id"] and shared / union >= 0.5
