"""What a person copies and runs: each program with a real Triton, and the demo's steps where they may fail."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import models
import numpy as np
import pytest

from kit import cli
from kit.errors import NoAnswerError, UnknownModelError
from kit.server import embedded
from kit.server.interface import ServerOptions
from kit.stream.asking import Asker
from kit.stream.results import Classification

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"
VIDEO = DIGITS / "video.mp4"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Serve the example and a small classifier with names."""
    reason = embedded.unavailable_reason()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("served")
    repository = folder / "model_repository"
    models.save(models.classifier(), folder / "kinds.onnx")
    for source in (DIGITS / "digits.onnx", folder / "kinds.onnx"):
        assert cli.run(["generate", str(source), "--output", str(repository), "--no-verify", "--quiet"]) == 0
    with embedded.running(ServerOptions(repository=repository)) as running:
        yield SimpleNamespace(url=running.grpc_url)


def program(name: str, *arguments: str, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "clients" / name), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)


@pytest.mark.live
class TestPrograms:
    def test_camera(self, server: SimpleNamespace) -> None:
        done = program("camera.py", f"{VIDEO}#pace=none", "--model", "digits", "--url", server.url)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert sum(bool(re.fullmatch(r"video +\d+ +7 0\.\d\d  \[\d+, \d+, \d+, \d+\]", line)) for line in lines) > 60
        assert "105 captured = 105 emitted + 0 dropped + 0 pending" in done.stderr

    def test_cameras(self, server: SimpleNamespace, tmp_path: Path) -> None:
        text = (ROOT / "clients" / "cameras.yaml").read_text(encoding="utf-8")
        (tmp_path / "cameras.yaml").write_text(text.replace("page: 8080", "page: 0").replace("..", str(ROOT)))
        done = program("cameras.py", str(tmp_path / "cameras.yaml"), "--url", server.url, "--duration", "4")
        assert done.returncode == 0, done.stderr
        assert "film: 7 came" in done.stdout.splitlines()
        assert "all cameras at http://127.0.0.1:" in done.stderr

    def test_cascade(self, server: SimpleNamespace) -> None:
        arguments = ("--model", "digits", "--then", "kinds", "--url", server.url)
        done = program("cascade.py", f"{VIDEO}#pace=none", *arguments)
        assert done.returncode == 0, done.stderr
        assert re.search(r"^video +104 +7  0\.9\d .*  ->  \S+ \d+%$", done.stdout, re.MULTILINE)

    @pytest.mark.parametrize(
        ("name", "arguments", "code", "said"),
        [
            ("camera.py", ("none.mp4", "--model", "digits"), 80, "is no file|no file"),
            ("camera.py", (str(VIDEO), "--model", "digit"), 55, 'did you mean "digits"?'),
            ("cameras.py", ("none.yaml",), 86, "cannot be read"),
            ("cascade.py", (str(VIDEO), "--model", "digits", "--then", "kind"), 55, 'did you mean "kinds"?'),
        ],
    )
    def test_mistakes_are_one_line(
        self, server: SimpleNamespace, name: str, arguments: tuple[str, ...], code: int, said: str
    ) -> None:
        done = program(name, *arguments, "--url", server.url)
        assert done.returncode == code
        assert any(words in done.stderr for words in said.split("|"))
        assert done.stderr.count("\n") == 1


@pytest.mark.live
class TestAsking:
    def test_each_picture_has_its_answer_in_their_order(self, server: SimpleNamespace) -> None:
        rng = np.random.default_rng(3)
        pictures = [rng.integers(0, 256, (10 + 7 * n, 30, 3), np.uint8) for n in range(19)]
        with Asker(server.url, "kinds", timeout_s=60) as asker:
            together = asker.ask(pictures)
            alone = [asker.ask([picture])[0] for picture in pictures]
        assert len(together) == 19
        for one, other in zip(together, alone, strict=True):
            assert isinstance(one, Classification)
            assert isinstance(other, Classification)
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
        assert len({answer.top(1)[0][1] for answer in alone if isinstance(answer, Classification)}) > 5

    def test_names_come_from_the_server(self, server: SimpleNamespace) -> None:
        with Asker(server.url, "digits", timeout_s=60) as asker:
            assert asker.labels == tuple("0123456789")

    def test_no_such_model_and_no_server(self, server: SimpleNamespace) -> None:
        picture = np.zeros((8, 8, 3), np.uint8)
        with Asker(server.url, "kind", timeout_s=60) as asker, pytest.raises(UnknownModelError):
            asker.ask([picture])
        with Asker("127.0.0.1:9", "kinds", timeout_s=0.5) as asker:
            begun = time.monotonic()
            with pytest.raises(NoAnswerError, match=r"^kinds at 127.0.0.1:9 gave no answer: "):
                asker.ask([picture])
            assert time.monotonic() - begun < 20


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The demo's module, with its files in a folder of the test's own."""
    spec = importlib.util.spec_from_file_location("run_demo", ROOT / "clients" / "run_demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return SimpleNamespace(module=module, folder=tmp_path)


def test_a_step_that_fails_is_told(demo: SimpleNamespace) -> None:
    with pytest.raises(demo.module.StepError, match=r"^kit generate ended with exit code 10; the line above says why$"):
        demo.module.step("kit", "generate", "none.onnx")


def test_the_pictures_are_copied(demo: SimpleNamespace) -> None:
    demo.module.copy_images()
    assert len(list((demo.folder / "out" / "images").iterdir())) == demo.module.PICTURES


@pytest.mark.live
@pytest.mark.slow
def test_the_whole_demo(demo: SimpleNamespace, capfd: pytest.CaptureFixture[str]) -> None:
    """What it printed before there was ``kit camera`` it prints still: detections, rates, percentiles, files."""
    if embedded.unavailable_reason() is not None:
        pytest.skip(str(embedded.unavailable_reason()))
    assert demo.module.main() == 0
    out, err = capfd.readouterr()
    assert re.search(r"^images 0 +5  0\.99   118\.7   210\.1   157\.3   277\.8$", out, re.MULTILINE)
    assert len(re.findall(r"105 emitted .* results/s; age p50 .* p90 .* p99 .* ms; answer p50 .* ms", err)) == 2
    for name in ("images.jpg", "video.mp4"):
        assert (demo.folder / "out" / name).stat().st_size > 10_000
    if importlib.util.find_spec("server_demo"):
        assert re.search(r"^out/detections.jsonl: \d+ frames of the camera, ", out, re.MULTILINE)
    else:
        assert "no RTSP server is installed here" in out


def test_everything_that_the_readme_lists_is_there() -> None:
    folder = ROOT / "clients"
    listed = set(re.findall(r"\]\((\w+\.(?:py|yaml))\)", (folder / "README.md").read_text(encoding="utf-8")))
    assert listed | {"run_demo.py"} == {p.name for p in folder.iterdir() if p.suffix in {".py", ".yaml"}}
