"""The wheel holds all that runs and nothing else, and works where only it is installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import models
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it as ``make wheel`` does, without the network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=600, env={**os.environ, "PIP_NO_INDEX": "1"})
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        return set(archive.namelist())


def test_its_name_is_that_of_any_machine(wheel: Path) -> None:
    assert wheel.name.startswith("triton_edge_kit-")
    assert wheel.name.endswith("-py3-none-any.whl")


def test_it_holds_every_file_that_the_kit_needs(names: set[str]) -> None:
    ours = {p.relative_to(ROOT).as_posix() for p in (ROOT / "kit").rglob("*") if p.is_file() and p.suffix != ".pyc"}
    templates = {f"kit/templates/{p.name}" for p in (ROOT / "templates").iterdir()}
    assert {n for n in names if n.startswith("kit/")} == ours | templates
    # Those that no import would miss, by name: a wheel without them installs and then fails.
    assert {
        "kit/py.typed",
        "kit/templates/config.pbtxt.j2",
        "kit/targets/x86-cpu.toml",
        "kit/server/lock/server.txt",
        "kit/environments/facts.toml",
        "kit/environments/locks/openvino.txt",
        "kit/server/backends/onnxruntime/model.py",
        "kit/server/backends/shared/transport.py",
        "kit/server/keeper.py",
    } <= names


def test_it_holds_nothing_else(names: set[str]) -> None:
    tops = {n.split("/")[0] for n in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"kit"}
    assert not [n for n in names if "__pycache__" in n or n.endswith((".onnx", ".pt", ".safetensors"))]


def test_it_carries_its_licence_and_its_facts(wheel: Path, names: set[str]) -> None:
    info = next(n for n in names if n.endswith("/METADATA")).rpartition("/")[0]
    assert f"{info}/licenses/LICENSE" in names
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{info}/METADATA").decode()
        points = archive.read(f"{info}/entry_points.txt").decode()
    project = (ROOT / "pyproject.toml").read_text()
    python = re.search(r'^requires-python = "(.*)"$', project, re.MULTILINE)
    assert python is not None
    assert f"Version: {wheel.name.split('-')[1]}\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata
    assert f"Requires-Python: {python[1]}\n" in metadata
    assert all(f"Requires-Dist: {name}" in metadata for name in ("onnxruntime>=", "onnxsim==", "tritonclient[grpc]"))
    assert points.split() == ["[console_scripts]", "kit", "=", "kit.cli:main"]


def test_the_same_sources_give_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=600, env={**os.environ, "TMPDIR": str(tmp_path)})
    (again,) = tmp_path.glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()


@dataclass(frozen=True)
class Installed:
    """An environment that has the wheel, and the dependencies from the one that runs the tests."""

    bin: Path
    site: Path
    home: Path

    def run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
        variables = {**kept, "KIT_CACHE_DIR": str(self.home / "cache"), "HOME": str(self.home)}
        command = [str(self.bin / arguments[0]), *arguments[1:]]
        return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("home")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "env")], check=True, timeout=120)
    site = home / "env" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    command = [sys.executable, "-m", "pip", "--python", str(home / "env" / "bin" / "python"), "install", "--quiet"]
    subprocess.run(
        [*command, "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)], check=True, timeout=120
    )
    # A path in a .pth file is searched, but .pth files in it are not read: the editable kit stays out.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return Installed(bin=home / "env" / "bin", site=site, home=home)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    models.save(models.classifier(), tmp_path / "tiny.onnx")
    return tmp_path


def test_the_wheels_own_files_are_run(installed: Installed, elsewhere: Path) -> None:
    done = installed.run("python", "-c", "import kit; print(kit.__file__)", cwd=elsewhere)
    assert Path(done.stdout.strip()).parent == installed.site / "kit"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("kit", "--help"), "generate"),
        (("python", "-m", "kit", "--help"), "generate"),
        (("kit", "--version"), "kit, version"),
        (("kit", "targets"), "x86-cpu"),
        (("kit", "serve", "--help"), "REPOSITORY"),
    ],
)
def test_its_commands_run(installed: Installed, elsewhere: Path, arguments: tuple[str, ...], words: str) -> None:
    done = installed.run(*arguments, cwd=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert words in done.stdout


def test_it_generates_what_the_checkout_generates(
    installed: Installed, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import kit.cli

    command = ("generate", "tiny.onnx", "--target", "x86-cpu", "--target", "t4", "--no-verify", "--json")
    done = installed.run("kit", *command, cwd=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["entry"]["changed"] is True
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("KIT_CACHE_DIR", str(elsewhere / "cache"))
    assert kit.cli.run([*command[:-1], "--quiet", "--output", "checkout"]) == 0
    assert contents(elsewhere / "model_repository") == contents(elsewhere / "checkout")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
