"""The documents do not rot: every ``kit`` command in them is parsed, and those of README are run in their order."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kit import cli, errors
from kit.server import embedded
from kit.server.interface import ServerOptions

ROOT = Path(__file__).parents[2]
KIT = Path(sys.executable).parent / "kit"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_lines(text: str) -> Iterator[str]:
    """Yield the lines of fenced and of indented code blocks."""
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()


def commands(document: Path) -> list[list[str]]:
    """Return the arguments of each ``kit`` command, without what the shell takes of the line."""
    lines = (line.removeprefix("$ ") for line in code_lines(document.read_text(encoding="utf-8")))
    found = [
        shlex.split(line.partition(" > ")[0].removesuffix("&"), comments=True)[1:]
        for line in lines
        if re.match(r"kit( |$)", line)
    ]
    return [list(arguments) for arguments in dict.fromkeys(map(tuple, found)) if arguments[0] != ":"]


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder that has what the documents speak of."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "digits.onnx").symlink_to(ROOT / "examples" / "digits" / "digits.onnx")
    (tmp_path / "my-targets").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [pytest.param(a, id=f"{d.name}-{shlex.join(a)}") for d in DOCUMENTS for a in commands(d)],
)
def test_the_command_line_takes_it(arguments: list[str], user_folder: Path) -> None:
    command = cli.cli.get_command(click.Context(cli.cli), arguments[0])
    assert command is not None, f"there is no command {arguments[0]}"
    parent = click.Context(cli.cli, **cli.cli.context_settings)
    command.make_context(arguments[0], arguments[1:], parent=parent)


@pytest.mark.live
@pytest.mark.slow
def test_readme_runs(user_folder: Path) -> None:
    reason = embedded.unavailable_reason()
    if reason is not None:
        pytest.skip(reason)
    for arguments in commands(ROOT / "README.md"):
        if arguments[0] == "serve":
            serve(arguments, user_folder)
        elif arguments[0] == "camera":
            camera(arguments, user_folder)
        else:
            done = subprocess.run([KIT, *arguments], cwd=user_folder, capture_output=True, text=True, timeout=1800)
            assert done.returncode == 0, f"kit {shlex.join(arguments)}: {done.stderr}"
    written = {path.relative_to(user_folder).as_posix() for path in user_folder.glob("out/models/**/*")}
    for name in tree(ROOT / "README.md"):
        assert f"out/models/digits/{name}" in written


def serve(arguments: list[str], folder: Path) -> None:
    """Serve on free ports, wait for the line that says so, and stop."""
    ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    with subprocess.Popen([KIT, *arguments, *ports], cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().startswith("ready: digits (version 1); gRPC 127.0.0.1:")
            server.send_signal(signal.SIGTERM)
            assert server.wait(120) == 0
        finally:
            server.kill()


def camera(arguments: list[str], folder: Path) -> None:
    """Run it for some seconds with a server of its own, on free ports; what is said last counts."""
    images = sorted((ROOT / "examples" / "digits" / "test" / "images").iterdir())[:3]
    (folder / "out" / "images").mkdir(exist_ok=True)
    for image in images:
        shutil.copy(image, folder / "out" / "images")
    free = [word for flag in ("--page", "--metrics") if flag in arguments for word in (flag, "0")]
    with embedded.running(ServerOptions(repository=folder / "out" / "model_repository")) as server:
        command = [KIT, *arguments, "--url", server.grpc_url, "--duration", "3", *free]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"kit {shlex.join(arguments)}: {done.stderr}"


def tree(document: Path) -> list[str]:
    """Return the files of a model's folder that a document draws."""
    lines = document.read_text(encoding="utf-8").split("    out/models/\n      digits/\n")[1].splitlines()
    drawn = [line.split()[0] for line in lines[: lines.index("")]]
    assert len(drawn) > 5
    return drawn


def test_readme_has_every_exit_code() -> None:
    rows = re.findall(r"^\| ([0-9, ]+) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    documented = {int(code) for row in rows for code in row.split(",")}
    owned = {kind.exit_code for kind in every(errors.KitError)}
    assert documented - {0, cli.INTERRUPTED} == owned - {1}


def every(kind: type[errors.KitError]) -> Iterator[type[errors.KitError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from every(child)


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda d: d.name
)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_make_tells_every_task() -> None:
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    told = [line.split()[1] for line in done.stdout.splitlines()]
    targets = re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert told == targets
    assert {"demo", "test", "lint", "format", "golden", "coverage", "bench", "wheel", "lock", "clean"} < set(told)
