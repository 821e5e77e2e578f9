"""A disk that is full, or may not be written: one line, nothing half-written, what stood there still stands."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import drafts
import models
import pytest

from kit import report

DRIVER = '''
"""Forks a run for each n, whose n-th change of the disk is refused."""
import errno, os, sys, tempfile
from pathlib import Path
import numpy, onnx, onnx.compose, onnx.parser, onnx.version_converter, onnxruntime, onnxsim
import tritonclient.grpc
import kit.cli, kit.compare, kit.pipeline, kit.cli._display

number = getattr(errno, sys.argv[1])
CHANGES = {"os.mkdir", "os.link", "os.symlink", "os.truncate"}
FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT
tempfile.gettempdir()

def refuse_the(event):
    left = event
    def hook(name, arguments):
        nonlocal left
        writes = name in CHANGES or (name == "open" and isinstance(arguments[2], int) and arguments[2] & FLAGS)
        if writes and not str(arguments[0]).startswith(("/dev/", f"{tempfile.gettempdir()}/kit-")):
            left -= 1
            if left <= 0:  # and all that follow
                raise OSError(number, os.strerror(number), arguments[0])
    sys.addaudithook(hook)

def run(event, source):
    child = os.fork()
    if child == 0:
        error = os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(error, 2)
        if event:
            refuse_the(event)
        try:
            common = ["--name", "m", "--no-verify", "--quiet", "--no-cache", "--output", "place/out"]
            code = kit.cli.run(["generate", source, *common])
        except BaseException:
            import traceback
            os.write(2, traceback.format_exc().encode())
            code = 99
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def tree():
    return {p.as_posix(): p.is_file() and p.read_bytes() for p in Path("place").rglob("*") if "report" not in p.name}

os.mkdir("place")
assert run(0, "one.onnx") == 0, Path("stderr").read_text()
old = tree()
event, codes, step = 0, [], int(sys.argv[2])
while True:
    event += step
    code, error = run(event, "two.onnx"), Path("stderr").read_text()
    codes.append(code)
    if code == 0:
        break
    expected = {"ENOSPC": 41, "EROFS": 40}[sys.argv[1]]
    assert code == expected, (event, code, error)
    assert error.startswith("kit: ") and error.count("\\n") == 1, (event, error)
    assert tree() == old, (event, sorted(tree()))
assert event > 20, codes
assert tree() != old
'''


@pytest.mark.slow
@pytest.mark.parametrize(("number", "step"), [("ENOSPC", "1"), ("EROFS", "3")])
def test_wherever_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str, step: str) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    models.save(models.classifier(seed=1), tmp_path / "one.onnx")
    models.save(models.detector(seed=2), tmp_path / "two.onnx")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRIVER, number, step],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]


Disk = Callable[..., Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Return ``disk(kilobytes)``: a real file system of that size."""
    mounted = []

    def make(kilobytes: int) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
        made = subprocess.run(["mount", *options], capture_output=True, text=True)
        if made.returncode != 0:
            pytest.skip(f"this user may not mount a file system: {made.stderr.strip()}")
        mounted.append(place)
        return place

    if shutil.which("mount") is None:
        pytest.skip("there is no mount command")
    yield make
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def kit_generate(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    def run(source: str, output: Path, cache: Path | None = None) -> tuple[int, str]:
        environment = {**os.environ, "KIT_CACHE_DIR": str(cache or tmp_path / "cache")}
        command = [sys.executable, "-m", "kit", "generate", source, "--name", "m", "--no-verify", "--quiet", "--output"]
        done = subprocess.run([*command, str(output)], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.stdout == ""
        if done.returncode != 0:
            assert done.stderr.startswith("kit: "), done.stderr[-2000:]
            assert done.stderr.count("\n") == 1
        return done.returncode, done.stderr

    return run


def heavy(seed: int) -> object:
    """Half a megabyte of weights."""
    return models.classifier(classes=40_001, seed=seed)


@pytest.mark.parametrize("nested", [False, True], ids=["the mount point itself", "a folder below it"])
def test_a_real_full_disk(
    tmp_path: Path, disk: Disk, kit_generate: Callable[..., tuple[int, str]], nested: bool
) -> None:
    place = disk(1000)
    output = place / "out" if nested else place
    models.save(heavy(1), tmp_path / "one.onnx")
    models.save(heavy(2), tmp_path / "two.onnx")
    assert kit_generate("one.onnx", output) == (0, "")
    old = drafts.tree(output)
    code, error = kit_generate("two.onnx", output)
    assert code == 41
    assert "no space left" in error
    assert drafts.tree(output) == old
    assert [p.name for p in place.rglob("*") if p.name.startswith(".")] == []
    subprocess.run(["mount", "-o", "remount,size=4000k", str(place)], check=True)
    assert kit_generate("two.onnx", output) == (0, "")
    assert drafts.version_of(output / "m") == 2


def test_a_real_full_disk_under_the_cache(
    tmp_path: Path, disk: Disk, kit_generate: Callable[..., tuple[int, str]]
) -> None:
    cache = disk(700)
    models.save(heavy(1), tmp_path / "one.onnx")
    code, error = kit_generate("one.onnx", tmp_path / "out", cache)
    assert code == 41
    assert f"{cache}/stages: free some, or set KIT_CACHE_DIR" in error
    assert not (tmp_path / "out").exists()
    subprocess.run(["mount", "-o", "remount,size=9000k", str(cache)], check=True)
    assert kit_generate("one.onnx", tmp_path / "out", cache) == (0, "")


def test_a_read_only_file_system(tmp_path: Path, disk: Disk, kit_generate: Callable[..., tuple[int, str]]) -> None:
    place = disk(1000)
    models.save(models.scale(1), tmp_path / "one.onnx")
    models.save(models.scale(2), tmp_path / "two.onnx")
    assert kit_generate("one.onnx", place / "out") == (0, "")
    old = drafts.tree(place)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    for output in (place / "out", place / "new", place):
        code, error = kit_generate("two.onnx", output)
        assert code == 40, error
        assert "cannot be written" in error
    assert drafts.tree(place) == old


def test_a_mount_point_whose_parent_is_read_only_holds_no_report_and_is_no_failure(
    tmp_path: Path, disk: Disk, kit_generate: Callable[..., tuple[int, str]]
) -> None:
    parent = disk(100)
    (parent / "inner").mkdir()
    models.save(models.scale(1), tmp_path / "one.onnx")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1000k", "tmpfs", str(parent / "inner")], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro", str(parent)], check=True)
        assert kit_generate("one.onnx", parent / "inner") == (0, "")
        assert sorted(p.name for p in (parent / "inner").iterdir()) == ["m"]
    finally:
        subprocess.run(["umount", "-l", str(parent / "inner")], check=True)


def test_a_killed_run_on_a_mount_point_is_swept_by_the_next(
    disk: Disk, tmp_path: Path, kit_generate: Callable[..., tuple[int, str]]
) -> None:
    place = disk(1000)
    models.save(models.scale(1), tmp_path / "one.onnx")
    (place / ".kit" / "staging-killed" / "repository" / "m").mkdir(parents=True)
    (place / ".kit" / "staging-killed" / "repository" / "m" / "file").write_text("half")
    assert kit_generate("one.onnx", place) == (0, "")
    assert sorted(p.name for p in place.iterdir()) == ["m"]


STRANGER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
"""Root without its privilege over files: it owns the interpreter, and nothing of what nobody owns."""

NOBODY = 65534


@pytest.fixture
def stranger(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run ``kit`` as a user who owns nothing, in a folder that everybody may read."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, to give files away, and setpriv")
    here = tmp_path / "theirs"
    for folder, mode in ((here / "yours", 0o777), (here, 0o755)):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
    models.save(models.scale(), here / "m.onnx")
    for path in (here, here / "yours", here / "m.onnx"):
        os.chown(path, NOBODY, NOBODY)

    def run(*arguments: str) -> tuple[int, str]:
        environment = {**os.environ, "KIT_CACHE_DIR": str(tmp_path / "cache")}
        command = [*STRANGER, sys.executable, "-m", "kit", *arguments]
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
        return done.returncode, done.stderr

    return run


def test_a_folder_of_another_user(stranger: Callable[..., tuple[int, str]]) -> None:
    common = ("generate", "m.onnx", "--no-verify", "--quiet", "--output")
    code, error = stranger(*common, "out")
    assert (code, error.count("\n")) == (40, 1), error
    assert "cannot be written: permission denied" in error
    assert stranger(*common, "yours/out") == (0, "")


def test_a_repository_that_is_mine_in_a_folder_that_is_not(
    stranger: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """The workspace is then inside it, hidden, and gone afterwards."""
    here = tmp_path / "theirs"
    (here / "out").mkdir()
    (here / "out").chmod(0o777)
    assert stranger("generate", "m.onnx", "--no-verify", "--quiet", "--output", "out") == (0, "")
    assert [p.name for p in (here / "out").iterdir()] == ["m"]


def test_a_model_that_may_not_be_read(stranger: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "theirs" / "m.onnx").chmod(0o600)
    code, error = stranger("generate", "m.onnx", "--no-verify", "--quiet", "--output", "yours/out")
    assert (code, error) == (10, "kit: m.onnx cannot be read: Permission denied\n")


@pytest.mark.parametrize(
    ("hidden", "code", "words"),
    [
        ("secret", 40, "choose another --output"),
        ("out/m/config.pbtxt", 40, "out/m/config.pbtxt cannot be read: Permission denied; choose another --output"),
        ("images", 16, "images/sub cannot be read: Permission denied"),
        ("images/one.png", 16, "images/one.png cannot be read: Permission denied"),
    ],
)
def test_what_may_not_be_looked_at(
    stranger: Callable[..., tuple[int, str]], tmp_path: Path, hidden: str, code: int, words: str
) -> None:
    here = tmp_path / "theirs" / "yours"
    (here / "images").mkdir()
    (here / "images" / "one.png").write_bytes(b"")
    models.save(models.classifier(), tmp_path / "theirs" / "m.onnx")
    (here / "secret").mkdir()
    output = "yours/secret/out" if hidden == "secret" else "yours/out"
    images = "yours/images/sub" if hidden == "images" else "yours/images"
    common = ("generate", "m.onnx", "--name", "m", "--no-verify", "--quiet", "--output", output)
    if hidden.startswith("out/"):
        assert stranger(*common) == (0, "")
    os.chown(here / hidden, NOBODY, NOBODY)
    (here / hidden).chmod(0)
    ended, error = stranger(*common, "--validation", images)
    assert (ended, error.count("\n")) == (code, 1), error
    assert words in error


@pytest.mark.parametrize("arguments", [("cache",), ("cache", "--clear"), ("generate", "m.onnx", "--output", "yours/o")])
def test_a_cache_that_may_not_be_looked_at(
    stranger: Callable[..., tuple[int, str]], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "cache").mkdir(mode=0)
    os.chown(tmp_path / "cache", NOBODY, NOBODY)
    code, error = stranger(*arguments)
    assert (code, error.count("\n")) == (40, 1), error
    assert "Permission denied; set KIT_CACHE_DIR to a folder that can be written" in error


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_link_to_nowhere_is_told_before_the_work(
    tmp_path: Path, kit_generate: Callable[..., tuple[int, str]], below: str
) -> None:
    models.save(models.scale(), tmp_path / "m.onnx")
    (tmp_path / "link").symlink_to("nowhere")
    code, error = kit_generate("m.onnx", Path(f"link{below}"))
    assert (code, error) == (
        40, "kit: link is a link to nowhere, which does not exist; make that, or choose another --output\n",
    )  # fmt: skip


def test_a_folder_that_nobody_can_write(tmp_path: Path, kit_generate: Callable[..., tuple[int, str]]) -> None:
    models.save(models.scale(), tmp_path / "m.onnx")
    code, error = kit_generate("m.onnx", Path("/proc/x"))
    assert code == 40
    assert "cannot be written" in error


def test_a_report_that_is_somebody_elses_is_replaced(
    tmp_path: Path, kit_generate: Callable[..., tuple[int, str]]
) -> None:
    models.save(models.scale(), tmp_path / "m.onnx")
    for content in ("", "[]", '{"models": []}', '{"models": 3}', "{}", "\ud800"):
        report.place(tmp_path / "out").write_text(content, errors="surrogatepass")
        assert kit_generate("m.onnx", tmp_path / "out") == (0, "")
        assert list(json.loads(report.place(tmp_path / "out").read_text())["models"]) == ["m"]


def test_every_refusal_of_the_disk_is_known() -> None:
    """A disk that is dying, or a network's file system, has other words than "denied"."""
    from kit.disk import _FULL, translated
    from kit.errors import DiskFullError, NotWritableError

    for number in errno.errorcode:
        expected = DiskFullError if number in _FULL else NotWritableError
        with pytest.raises(expected, match=r"\bplace\b.*choose another --output"), translated(Path("place")):
            raise OSError(number, os.strerror(number))
        with pytest.raises(expected, match=r"choose a star"), translated(Path("place"), "choose a star"):
            raise OSError(number, os.strerror(number))
    with pytest.raises(OSError, match="no refusal of the disk"), translated(Path("place")):
        raise OSError("no refusal of the disk")
