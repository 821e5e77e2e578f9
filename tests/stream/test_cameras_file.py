"""A file of cameras: what it says is what is planned, and every mistake is told at once, where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import CamerasFileError, CameraUriError, UsageError
from kit.stream import camerasfile, planning, sinks
from kit.stream.planning import Said
from kit.stream.sinks.interface import Takes

GOOD = """
url: box:8001
model: digits
cameras:
  gate: rtsp://kit:${GATE_PASSWORD}@10.0.0.7/stream
  yard: {source: "test://5fps", model: plates, freshness_s: 3.5}
  film: clips/a.mp4#loop=yes
models:
  plates: {url: "gpu:9001", labels: plates.txt, min_score: 0.5, version: 2, task: detect, size: 640x480}
outputs: {page: 8080, json: out.jsonl, metrics: 9100, print: no}
budget_ms: 250
in_flight: 3
in_flight_total: 12
duration_s: 1.5
"""

BAD = """
urls: box:8001
model: [digits]
cameras:
  gate: rtps://10.0.0.7/stream
  yard: {sauce: "test://5fps"}
  yard: test://5fps
  door: {source: "test://5fps#pattern=none", freshness_s: 0}
  well: rtsp://${NOT_SET}@host/
models:
  plates: {labels: none.txt, min_score: 2, size: 640, url: ""}
outputs: {page: eighty, recrod: a.mp4, record: a.avi}
budget_ms: fast
in_flight: 0
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATE_PASSWORD", "s3cret")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"")
    (tmp_path / "plates.txt").write_text("car\nbus\n")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    (folder / "cameras.yaml").write_text(text)
    return folder / "cameras.yaml"


def test_what_it_says_is_planned(folder: Path) -> None:
    made = planning.plan((), Said(), config=write(folder, GOOD), quiet=True)
    seen = {c.camera.name: (c.model, c.camera.uri.address.reveal(), c.camera.freshness_s) for c in made.cameras}
    assert seen == {
        "gate": ("digits", "rtsp://kit:s3cret@10.0.0.7/stream", 2.0),
        "yard": ("plates", "5fps", 3.5) if seen["yard"][1] == "5fps" else ("plates", "//5fps", 3.5),
        "film": ("digits", str(folder / "clips" / "a.mp4"), 2.0),
    }
    digits, plates = made.models["digits"], made.models["plates"]
    assert (digits.url, plates.url) == ("box:8001", "gpu:9001")
    assert (plates.options.version, plates.options.task, plates.options.size) == ("2", "detect", (480, 640))
    assert (plates.min_score, plates.labels) == (0.5, folder / "plates.txt")
    assert {o.sink.key: o.target for o in made.outputs if o.sink.key} == {
        "page": "8080", "json": str(folder / "out.jsonl"), "metrics": "9100"
    }  # fmt: skip
    assert (made.budget_s, made.in_flight, made.overall, made.duration_s) == (0.25, 3, 12, 1.5)
    assert "s3cret" not in repr(made)


def test_the_command_line_wins(folder: Path) -> None:
    said = Said(url="other:1", budget_ms=900, in_flight=5, duration_s=9.0, min_score=0.25)
    page = (sinks.by_key("page"), "9090")
    made = planning.plan(("test://1fps",), said, config=write(folder, GOOD), outputs=(page,))
    assert {m.url for m in made.models.values()} == {"other:1"}
    assert (made.budget_s, made.in_flight, made.duration_s) == (0.9, 5, 9.0)
    assert [o.target for o in made.outputs if o.sink.key == "page"] == ["9090"]
    assert [c.camera.name for c in made.cameras] == ["gate", "yard", "film", "1fps"]
    assert made.models["digits"].min_score == 0.25
    assert made.models["plates"].min_score == 0.5


def test_every_mistake_is_told_at_its_place(folder: Path) -> None:
    path = write(folder, BAD)
    with pytest.raises(CamerasFileError) as caught:
        camerasfile.read(path)
    told = [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]
    for expected in (
        '2:1: urls: unknown; did you mean "url"?', "3:8: model: expected one line of text",
        '5:9: cameras.gate: no source reads "rtps:"; did you mean rtsp://',
        '6:10: cameras.yard.sauce: unknown; did you mean "source"?', "6:9: cameras.yard: source is missing",
        "7:3: yard stands here already, in line 6",
        '8:18: cameras.door.source: "pattern=none" of', '8:59: cameras.door.freshness_s: expected a number above 0',
        "9:9: cameras.well: the variable NOT_SET is not set", "11:20: models.plates.labels: there is no file",
        '11:41: models.plates.min_score: expected a number from 0 to 1, not "2"',
        '11:50: models.plates.size: expected WIDTHxHEIGHT', "11:60: models.plates.url: expected one line of text",
        "12:17: outputs.page: --page takes a port", '12:25: outputs.recrod: unknown; did you mean "record"?',
        "12:48: outputs.record: --record writes MP4", '13:12: budget_ms: expected a whole number from 1, not "fast"',
        '14:12: in_flight: expected a whole number from 1, not "0"',
    ):  # fmt: skip
        assert any(line.startswith(expected) for line in told), f"{expected}\n" + "\n".join(told)
    assert len(told) == 18


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: the file is empty"), ("- a", "1:1: the file: expected keys and values"),
        ("url: x", "1:1: cameras: is missing"), ("cameras:\n\t- a", "2:1: a tab; YAML indents with spaces"),
        ("cameras: {a: 'x", "no YAML"), ("cameras: {a: [1]}", "cameras.a: expected keys and values"),
        ("cameras: {'': x}", "a key is a word"), ("cameras: {a/b: 'test://1fps'}", "a name is of letters"),
        ("cameras: {\x01: x}", r"1:11: the character U\+0001 may not stand in YAML; delete it"),
    ],
)  # fmt: skip
def test_a_file_of_another_form(folder: Path, text: str, said: str) -> None:
    with pytest.raises(CamerasFileError, match=said):
        camerasfile.read(write(folder, text))


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    with pytest.raises(CamerasFileError, match=r"cannot be read: No such file.*docs/camera.md shows such a file"):
        camerasfile.read(folder / "none.yaml")
    (folder / "latin.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(CamerasFileError, match=r"is no UTF-8 text"):
        camerasfile.read(folder / "latin.yaml")
    (folder / "large.yaml").write_bytes(b"#" * (camerasfile.LARGEST_BYTES + 1))
    with pytest.raises(CamerasFileError, match=r"more than 256 KB"):
        camerasfile.read(folder / "large.yaml")


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60) | st.text("{}[]:,-# \n&*!|>'\"acmers", max_size=40))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8")
    refusal = str(path)
    try:
        camerasfile.read(path)
    except CamerasFileError as error:
        refusal = str(error)
    assert refusal.startswith(str(path))


class TestPlans:
    def test_cameras_of_one_name_get_numbers(self) -> None:
        made = planning.plan(("test://5fps",) * 3, Said(model="digits"), quiet=True)
        assert [c.camera.name for c in made.cameras] == ["5fps", "5fps-2", "5fps-3"]

    def test_the_budget_is_long_where_all_wait(self) -> None:
        def budget(*sources: str) -> float:
            return planning.plan(sources, Said(model="m")).budget_of("m")

        assert budget("test://5fps?pace=none") == 30
        assert budget("test://5fps") == budget("test://5fps?pace=none", "test://5fps") == 1

    def test_the_loudness_is_what_the_terminal_is_free_for(self) -> None:
        def told(quiet: bool, *keys: str) -> object:
            outputs = [(sinks.by_key(key), "-") for key in keys]
            made = planning.plan(("test://5fps",), Said(model="m"), outputs=outputs, quiet=quiet)
            return next(o.target for o in made.outputs if o.sink.takes is Takes.LOUDNESS)

        assert (told(False), told(False, "json"), told(True, "json")) == ("live", "plain", "errors")

    @pytest.mark.parametrize(
        ("sources", "said", "keys", "error", "text"),
        [
            ((), {}, (), UsageError, "no camera is given; try: kit camera test://30fps --model NAME"),
            (("test://5fps",), {}, (), UsageError, r"which model\? give --model NAME"),
            (("test://5fps",), {"model": "m"}, ("json", "print"), UsageError,
             "--json and --print both write to standard output; leave one out"),
            (("test://5fps",), {"model": "m", "size": "640"}, (), UsageError, "try --size 640x480"),
            (("nothing.mp4",), {"model": "m"}, (), CameraUriError, "is no file"),
        ],
    )  # fmt: skip
    def test_mistakes(self, sources: tuple, said: dict, keys: tuple, error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            planning.plan(sources, Said(**said), outputs=[(sinks.by_key(key), "-") for key in keys])
