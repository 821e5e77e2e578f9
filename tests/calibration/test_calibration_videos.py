"""A frame found by its number is the one that is shown in that place, however it was reached."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scenery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.calibration import features, likeness, videos

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "video.mp4"


def shown(path: Path) -> list[np.ndarray]:
    import av

    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def played(clip: Path) -> list[np.ndarray]:
    return shown(clip)


def test_every_frame_has_its_number(clip: Path, played: list[np.ndarray]) -> None:
    times = videos.timeline(clip)
    assert len(times.times) == len(played) == 90
    assert times.keys[0] == 0
    assert len(times.keys) >= 7


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(st.integers(0, 89), min_size=1, max_size=12))
def test_any_frames_are_those_of_playing_it_through(clip: Path, played: list[np.ndarray], wanted: list[int]) -> None:
    found = list(videos.frames(clip, videos.timeline(clip), wanted))
    assert [number for number, _ in found] == sorted(set(wanted))
    for number, frame in found:
        assert np.array_equal(np.asarray(frame.image()), played[number])


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9")])
def test_in_other_containers_and_codecs(tmp_path: Path, name: str, codec: str) -> None:
    path = scenery.video(tmp_path / name, [scenery.scene(n) for n in range(30)], codec=codec)
    played, times = shown(path), videos.timeline(path)
    assert len(times.times) == len(played) == 30
    found = dict(videos.frames(path, times, [3, 17, 29]))
    for number in (3, 17, 29):
        assert np.array_equal(np.asarray(found[number].image()), played[number])


def test_the_example_has_105_frames_and_its_small_pictures_are_its_pictures_made_small() -> None:
    times = videos.timeline(DIGITS)
    assert len(times.times) == 105
    assert (times.times[-1] - times.times[0]) * times.tick_s == pytest.approx(104 / 15, abs=0.01)
    ((_, frame),) = videos.frames(DIGITS, times, [50])
    small, whole = np.asarray(frame.small(64), np.float32), frame.image().resize((64, 64), 4)
    assert np.abs(small - np.asarray(whole, np.float32)).mean() < 6
    looks = [features.look(np.asarray(p, np.uint8)) for p in (frame.small(64), whole)]
    assert likeness.same_as(*looks).all()


def test_what_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video at all" * 100)
    with pytest.raises(videos.VideoError, match="Invalid data found when processing input"):
        videos.timeline(path)


def test_frames_after_a_damage_are_left_out_and_those_before_are_there(tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    scenery.video(cut, [scenery.scene(n) for n in range(60)])
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    times = videos.timeline(cut)
    assert 10 < len(times.times) < 60
    found = [number for number, _ in videos.frames(cut, times, range(len(times.times)))]
    assert found[:10] == list(range(10))
