"""Videos: read back by FFmpeg; rate and times are the camera's, a new size is a new file, a lost file is told."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import emissions
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import NotWritableError, UsageError
from kit.stream import sinks
from kit.stream.recording import Recording, Shot, rate_of


def shot(
    number: int, fps: float = 25.0, *, value: int = 0, size: tuple[int, int] = (48, 64), start_s: float = 7
) -> Shot:
    picture = np.full((*size, 3), value, np.uint8)
    return Shot(number=number, time_s=start_s + number / fps, picture=picture)


def film(path: Path) -> tuple[list[int], Fraction, tuple[int, int]]:
    """Return the brightness of each frame, the rate and the size; times must be those of a constant rate."""
    with av.open(str(path)) as opened:
        stream = opened.streams.video[0]
        frames = list(opened.decode(video=0))
        assert stream.average_rate is not None
        assert [f.time for f in frames] == pytest.approx(
            [n / stream.average_rate for n in range(len(frames))], abs=1e-3
        )
        return [round(float(f.to_ndarray(format="gray").mean())) for f in frames], stream.average_rate, (
            stream.width, stream.height
        )  # fmt: skip


@given(st.sampled_from([1, 5, 10, 15, 24, 25, 30, 50, 60, 30000 / 1001, 24000 / 1001]), st.data())
def test_the_rate_is_the_cameras_however_many_frames_are_missing(fps: float, data: st.DataObject) -> None:
    numbers = sorted(data.draw(st.sets(st.integers(0, 60), min_size=3, max_size=6)))
    assert float(rate_of([shot(number, fps) for number in numbers])) == pytest.approx(fps, rel=1e-3)


def test_frames_without_a_result_are_filled(tmp_path: Path) -> None:
    """25 fps, of which each third had a result: as long as the camera's time, and the picture stands still."""
    recording = Recording(tmp_path / "a.mp4")
    for number in range(0, 30, 3):
        recording.add(shot(number, value=number * 8))
    recording.close()
    seen, rate, size = film(tmp_path / "a.mp4")
    assert (len(seen), rate, size) == (28, 25, (64, 48))
    assert seen == pytest.approx([n // 3 * 3 * 8 for n in range(28)], abs=6)


def test_few_frames_are_recorded_too(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.mp4")
    recording.add(shot(0))
    recording.add(shot(1))
    recording.close()
    assert len(film(tmp_path / "a.mp4")[0]) == 2


def test_nothing_recorded_is_no_file(tmp_path: Path) -> None:
    Recording(tmp_path / "a.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_another_resolution_is_another_file(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.mp4")
    for number in range(20):
        recording.add(shot(number, size=(48, 64) if number < 10 else (99, 131)))
    recording.close()
    assert recording.paths == [tmp_path / "a.mp4", tmp_path / "a-2.mp4"]
    assert [(len(film(p)[0]), film(p)[2]) for p in recording.paths] == [(10, (64, 48)), (10, (130, 98))]


def test_an_outage_is_cut_and_a_clock_that_begins_anew_is_followed(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.mp4")
    for number in range(10):
        recording.add(shot(number))
    for number in range(10, 20):
        recording.add(shot(number, start_s=100))
    for number in range(20, 30):
        recording.add(shot(number, start_s=-3))
    recording.close()
    assert len(film(tmp_path / "a.mp4")[0]) == 30


def test_an_answer_that_was_overtaken_is_left_out(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.mp4")
    for number in (0, 1, 2, 3, 4, 5, 7, 6, 8):
        recording.add(shot(number))
    recording.close()
    assert len(film(tmp_path / "a.mp4")[0]) == 9


def test_a_file_that_was_never_closed_can_be_played(tmp_path: Path) -> None:
    """As after a power cut: what is on disk at that moment."""
    recording = Recording(tmp_path / "a.mp4")
    for number in range(600):
        recording.add(shot(number, value=number % 200))
    (tmp_path / "left.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    recording.close()
    with av.open(str(tmp_path / "left.mp4")) as left:
        assert sum(1 for _ in left.decode(video=0)) > 200
    assert len(film(tmp_path / "a.mp4")[0]) == 600


class TestTheSink:
    def test_cameras_have_their_own_files(self, tmp_path: Path) -> None:
        both = emissions.snapshot(emissions.view("a"), emissions.view("b"))
        sink = sinks.by_key("record").open(str(tmp_path / "out.mp4"), lambda: both)
        for number in range(8):
            for camera in ("a", "b"):
                sink.take(emissions.emission(number, camera=camera, picture=emissions.image(160, 120)))
        sink.close(both)
        assert {p.name: len(film(p)[0]) for p in tmp_path.iterdir()} == {"out-a.mp4": 8, "out-b.mp4": 8}

    def test_what_is_found_is_drawn(self, tmp_path: Path) -> None:
        found = emissions.detections(((3, 0.9, (40, 30, 120, 90)),))
        sink = sinks.by_key("record").open(str(tmp_path / "out.mp4"), emissions.snapshot)
        for number in range(8):
            sink.take(emissions.emission(number, output=found, picture=emissions.image(160, 120)))
        sink.close(emissions.snapshot())
        with av.open(str(tmp_path / "out.mp4")) as opened:
            last = list(opened.decode(video=0))[-1].to_ndarray(format="rgb24")
        assert np.ptp(last[90, 60].astype(int)) > 60  # the box is coloured, the ground is grey
        assert np.ptp(last[60, 80].astype(int)) < 25

    @pytest.mark.parametrize(
        ("name", "said"),
        [("a.avi", "try --record .*a.mp4$"), ("none/a.mp4", "there is no folder .*none; make it first$"),
         ("folder.mp4", "this is a folder; name a file in it$")],
    )  # fmt: skip
    def test_mistakes(self, tmp_path: Path, name: str, said: str) -> None:
        (tmp_path / "folder.mp4").mkdir()
        with pytest.raises(UsageError, match=said):
            sinks.by_key("record").check(str(tmp_path / name))

    def test_a_place_that_cannot_be_written(self) -> None:
        with pytest.raises(NotWritableError, match=r"^/proc/a.mp4 cannot be written: .*; choose another file$"):
            sinks.by_key("record").open("/proc/a.mp4", emissions.snapshot)
