"""Environments on demand: made for real from a tiny lock, and what stays when that goes wrong."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from kit import environments
from kit.cache import clear, tool_version, usage
from kit.environments import Recipe, installing, pythons, recipe
from kit.errors import (
    DiskFullError,
    NotWritableError,
    RepositoryBusyError,
    ToolEnvironmentError,
)

ROOT = Path(__file__).parents[2]
HERE = sys.version_info[:2]
PIP = sys._base_executable  # type: ignore[attr-defined]  # it has pip, or none of these tests could run


def silent(_: str) -> None:
    pass


def wheel(folder: Path, code: str = "ANSWER = 42\n") -> Path:
    """Write a wheel of one module, ``answering``: what an environment is made of, without a network."""
    path = folder / "answering-1.0-py3-none-any.whl"
    info = "answering-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("answering.py", code)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: answering\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The recipe of an environment that is made in two seconds, in a cache of its own."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    digest = sha256(wheel(shelf).read_bytes()).hexdigest()
    lock = tmp_path / "tiny.txt"
    lock.write_text(f"answering==1.0 \\\n    --hash=sha256:{digest}\n")
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return Recipe(name="tiny", purpose="Tiny", lock=lock, pythons=(HERE,), imports=("answering",), size=20_000_000)


def left() -> list[str]:
    return sorted(p.name for p in environments.place().iterdir()) if environments.place().is_dir() else []


def program(tiny: Recipe, *lines: str) -> str:
    """Return a program that has the recipe as ``tiny``."""
    given = f"name='tiny', purpose='Tiny', pythons=({HERE!r},), imports=('answering',), size=1"
    return "\n".join(
        (
            "from pathlib import Path; import time",
            "from kit import environments; from kit.environments import installing",
            f"tiny = environments.Recipe(lock=Path({str(tiny.lock)!r}), {given})",
            *lines,
        )
    )


class TestMaking:
    """Every ``ensure`` here that makes one takes seconds: those that can share one do."""

    def test_several_at_once_make_it_once_and_it_is_found_again(self, tiny: Recipe, tmp_path: Path) -> None:
        assert environments.find(tiny) is None
        command = [sys.executable, "-c", program(tiny, "print(environments.ensure(tiny, print).root)")]
        runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        said = [run.communicate(timeout=300)[0].splitlines() for run in runs]
        assert [run.returncode for run in runs] == [0, 0, 0]
        assert len({lines[-1] for lines in said}) == 1
        assert [lines[0] for lines in said if len(lines) > 1] == [
            f"installing Tiny (tiny), once (into {environments.place()})"
        ]
        made = environments.ensure(tiny, pytest.fail)
        assert made == environments.find(tiny)
        assert left() == ["lock", made.root.name]
        code = "import answering, sys; print(answering.ANSWER, sys.prefix)"
        done = subprocess.run([made.python, "-I", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["42", str(made.root)]
        other = tmp_path / "other.txt"
        other.write_text(tiny.lock.read_text() + "# newer\n")
        assert environments.find(replace(tiny, lock=other)) is None  # another lock is another environment

    def test_what_is_killed_half_way_is_swept_by_the_next_and_a_busy_one_is_not_cleared(
        self, tiny: Recipe, tmp_path: Path
    ) -> None:
        stuck = "installing.run = lambda *_: (print('half-way', flush=True), time.sleep(60))"
        command = [sys.executable, "-c", program(tiny, stuck, "environments.ensure(tiny, lambda _: None)")]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None
        assert run.stdout.readline() == "half-way\n"
        assert any(name.endswith(".partial") for name in left())
        run.kill()
        run.communicate()
        assert environments.find(tiny) is None
        made = environments.ensure(tiny, silent)
        assert left() == ["lock", made.root.name]

        script = tmp_path / "script.py"
        script.write_text("def nothing(ask):\n    return {}, {}\n")
        with environments.Worker(made, script), pytest.raises(RepositoryBusyError, match="a run is using an env"):
            clear(server=False, tools=True)
        assert usage().environments_bytes > 100_000
        clear(server=False)
        assert environments.is_made(tiny)
        clear(server=False, tools=True)
        assert not environments.is_made(tiny)
        assert usage().environments_bytes == 0


class TestFailures:
    def test_packages_that_do_not_import_leave_nothing(self, tiny: Recipe, tmp_path: Path) -> None:
        made = wheel(tmp_path / "shelf", "import nothing_there\n")
        tiny.lock.write_text(f"answering==1.0 --hash=sha256:{sha256(made.read_bytes()).hexdigest()}\n")
        with pytest.raises(ToolEnvironmentError, match="No module named 'nothing_there'") as raised:
            environments.ensure(tiny, silent)
        assert str(raised.value).startswith("Tiny was installed and does not work on this machine: import answering: ")
        assert "\n" not in str(raised.value)
        assert left() == ["lock"]
        assert environments.find(tiny) is None

    @pytest.mark.parametrize(
        ("harm", "reason"),
        [("tampered", "DO NOT MATCH THE HASHES"), ("absent", r"No matching distribution found for answering==1\.0")],
    )
    def test_what_is_not_what_was_locked_is_not_installed(
        self, tiny: Recipe, tmp_path: Path, harm: str, reason: str
    ) -> None:
        if harm == "tampered":
            wheel(tmp_path / "shelf", "ANSWER = 'something else'\n")
        else:
            shutil.rmtree(tmp_path / "shelf")
        place = tmp_path / "place"
        with pytest.raises(installing.InstallError, match=reason):
            installing.install_lock(Path(PIP), tiny.lock, tmp_path, "--target", str(place))
        assert not list(place.glob("answering*"))

    def test_what_installs_ends_with_a_kit_that_is_killed(self, tmp_path: Path) -> None:
        told = tmp_path / "pid"
        installs = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
        code = (
            "import sys; from pathlib import Path; from kit.environments import installing\n"
            f"installing.run([sys.executable, '-c', {installs!r}], Path('/tmp'))"
        )
        run = subprocess.Popen([sys.executable, "-c", code])
        pid = int(until(lambda: told.read_text() if told.exists() else ""))
        run.kill()
        run.wait()
        until(lambda: "gone" if not alive(pid) else "")

    def test_a_full_disk_says_so(self, tiny: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(installing, "run", full)
        with pytest.raises(DiskFullError, match=r"no space left for .*KIT_CACHE_DIR"):
            environments.ensure(tiny, silent)
        assert left() == ["lock"]

    def test_pips_own_word_for_a_full_disk_is_understood(self, tmp_path: Path) -> None:
        said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
        command = [sys.executable, "-c", f"import sys; sys.exit({said!r})"]
        with pytest.raises(OSError, match="No space left") as raised:
            installing.run(command, tmp_path)
        assert raised.value.errno == errno.ENOSPC

    def test_a_cache_that_is_a_file(self, tiny: Recipe, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("")
        with pytest.raises(NotWritableError, match=r"cannot be used: .*KIT_CACHE_DIR"):
            environments.ensure(tiny, silent)

    def test_no_python_that_fits(self, tiny: Recipe) -> None:
        with pytest.raises(ToolEnvironmentError, match=r"Tiny needs an environment .* CPython 2\.7, and"):
            environments.ensure(replace(tiny, pythons=((2, 7),)), silent)
        assert environments.find(replace(tiny, pythons=((2, 7),))) is None

    def test_a_mistyped_name(self) -> None:
        with pytest.raises(ToolEnvironmentError, match='no environment "openvin"; did you mean "openvino"'):
            environments.ensure("openvin", silent)


class TestRecipes:
    @pytest.mark.parametrize("name", recipe.names())
    def test_every_lock_is_exact_and_hashed(self, name: str) -> None:
        for lock in recipe.load(name).locks:
            text = re.sub(r"\\\n", " ", lock.read_text())
            lines = [line for line in text.splitlines() if line and not line.startswith("#")]
            assert lines
            for line in lines:
                pattern = r"[A-Za-z0-9_.-]+==[\w.+]+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+"
                assert re.fullmatch(pattern, line), line

    @pytest.mark.parametrize("name", recipe.names())
    def test_nothing_of_it_brings_cuda_or_reports_home(self, name: str) -> None:
        locked = "".join(lock.read_text() for lock in recipe.load(name).locks)
        unwanted = re.findall(r"^(nvidia-c\w+|cuda-\w+|triton|openvino-telemetry)==", locked, re.MULTILINE)
        assert unwanted == []

    def test_a_cache_key_holds_what_is_locked(self) -> None:
        version = tool_version("openvino/openvino")
        assert re.fullmatch(r"\d{4}\.\d\.\d \(lock [0-9a-f]{12}\)", version)
        assert tool_version("openvino/numpy").endswith(version.split(" ", 1)[1])

    def test_a_fact_that_is_unknown_is_a_mistake_of_ours(self) -> None:
        facts = {"purpose": "x", "pythons": ["3.11"], "bytes": 1, "imports": [], "torhc": True}
        with pytest.raises(KeyError, match="torhc"):
            recipe.recipe_of("x", facts, ROOT)


def test_a_python_that_cannot_make_environments_is_passed_over(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import no_ensurepip_on_debian"\n')
    bare.chmod(0o755)
    assert pythons._fitting(bare, (HERE,)) is None
    assert pythons._fitting(Path(sys.executable), (HERE,)) == Path(sys._base_executable).absolute()  # type: ignore[attr-defined]


def until(found: object) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if answer := found():  # type: ignore[operator]
            return str(answer)
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_alive_can_tell() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert alive(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not alive(process.pid)
