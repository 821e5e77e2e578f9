"""The error tree is what its docstring draws, and the command line turns each error into its exit code."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kit.cli
from kit import errors
from kit.errors import KitError, MissingExtraError, suggestion

BOOM = '''"""kit boom: raise what FILE says."""
import click

@click.command()
@click.argument("file", required=False)
def command(file):
    """Raise."""
    from pathlib import Path
    from kit import errors
    exec(Path(file).read_text() if file else "")
'''


def tree(root: type[KitError]) -> Iterator[type[KitError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


CLASSES = [c for c in tree(KitError) if c.__module__.startswith("kit.errors.")]
LEAVES = [c for c in CLASSES if not c.__subclasses__()]
UNIQUE = [c for c in CLASSES if "exit_code" in vars(c) and c is not KitError]


def drawn() -> dict[str, tuple[str, int | None]]:
    """Return what the docstring draws: a class's name to its parent's and its exit code."""
    found: dict[str, tuple[str, int | None]] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:[│ ]   )*(?:[├└]── )?)(\w+Error)\b(?: +(\d+))?", line)
        if match is None:
            continue
        depth, name = len(match[1]) // 4, match[2]
        above[depth] = name
        found[name] = (above[depth - 1] if depth else "Exception", int(match[3]) if match[3] else None)
    return found


def test_the_docstring_draws_the_tree() -> None:
    real = {c.__name__: (c.__bases__[0].__name__, vars(c).get("exit_code")) for c in CLASSES}
    real["KitError"] = ("Exception", None)
    assert drawn() == real


def test_each_class_that_can_be_met_owns_its_exit_code() -> None:
    assert [c.__name__ for c in LEAVES if "exit_code" not in vars(c)] == []
    codes = [c.exit_code for c in UNIQUE]
    assert len(set(codes)) == len(codes) > 25
    reserved = {0, 1, *range(64, 79), *range(126, 256)}  # success, check's problems, sysexits.h, shells and signals
    assert not set(codes) & reserved


@pytest.mark.parametrize("kind", CLASSES)
def test_each_class_says_in_a_sentence_what_it_is(kind: type[KitError]) -> None:
    assert kind.__doc__ is not None
    assert kind.__doc__.rstrip().endswith(".")


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError("torch", "torch", "the source m:build")
    assert str(error) == (
        "the source m:build needs torch, which is not installed; run: pip install 'triton-edge-kit[torch]'"
    )


class TestSuggestion:
    @pytest.mark.parametrize(
        ("word", "answer"),
        [
            ("x86", 'did you mean "x86-cpu"? choose from t4, x86-cpu'),
            ("t5", 'did you mean "t4"? choose from t4, x86-cpu'),
            ("nothing alike", "choose from t4, x86-cpu"),
        ],
    )
    def test_ends_a_message(self, word: str, answer: str) -> None:
        assert suggestion(word, iter(["x86-cpu", "t4"])) == answer

    @given(st.text(), st.sets(st.text(min_size=1), min_size=1))
    def test_offers_only_what_there_is_and_all_of_it(self, word: str, choices: set[str]) -> None:
        said = suggestion(word, choices)
        assert said.endswith(f"choose from {', '.join(sorted(choices))}")
        if said.startswith("did you mean"):
            assert any(said.startswith(f'did you mean "{choice}"? ') for choice in choices)


@pytest.fixture
def boom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Add the command ``kit boom FILE`` in the way every command is added, by one file; return a path for FILE."""
    folder = tmp_path / "commands"
    folder.mkdir()
    (folder / "boom.py").write_text(BOOM)
    monkeypatch.setattr(kit.cli, "__path__", [*kit.cli.__path__, str(folder)])
    yield tmp_path / "raise.py"
    sys.modules.pop("kit.cli.boom", None)


def test_adding_a_command_is_one_file(boom: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["--help"]) == 0
    assert re.search(r"^  boom +raise what FILE says$", capfd.readouterr().out, re.MULTILINE)
    assert kit.cli.run(["boom"]) == 0


@pytest.mark.parametrize("kind", [c for c in CLASSES if c is not MissingExtraError])
def test_each_error_is_its_exit_code_and_its_message(
    kind: type[KitError], boom: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    boom.write_text(f"raise errors.{kind.__name__}('what happened;\\n  what to do')")
    assert kit.cli.run(["boom", str(boom)]) == kind.exit_code != 0
    out, err = capfd.readouterr()
    assert out == ""
    listed = kind.__name__ in ("CamerasFileError", "InvalidSpecError", "TargetFileError")
    assert err == ("kit: what happened;\n  what to do\n" if listed else "kit: what happened; what to do\n")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("KeyboardInterrupt", 130, "kit: interrupted; what stood in the output folder still stands"),
        ("click.Abort", 130, "kit: interrupted"),
        ("click.UsageError('no such thing')", 2, "kit: no such thing"),
        ("click.BadParameter('too\\nbig', param_hint='--size')", 2, "kit: Invalid value for --size: too big"),
        ("click.ClickException('broken')", 1, "kit: broken"),
        ("OSError(28, 'No space left on device')", 41, "kit: no space left"),
        ("BrokenPipeError(32, 'Broken pipe')", 141, ""),
        ("MemoryError('Unable to allocate 2 TiB')", 63, "kit: not enough memory (Unable to allocate 2 TiB); lower"),
        ("errors.KitError('\\x1b[31mred\\x07')", 1, "kit: \\x1b[31mred\\x07"),
    ],
)
def test_what_is_no_error_of_ours_has_a_code_too(
    raised: str, code: int, said: str, boom: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # it is closed where it cannot be written
    boom.write_text(f"import click\nraise {raised}")
    assert kit.cli.run(["boom", str(boom)]) == code
    err = capsys.readouterr().err.strip()
    assert err.startswith(said) if said else not err
    assert len(err.splitlines()) <= 1


@pytest.mark.parametrize("bug", ["RuntimeError('a bug')", "AssertionError", "KeyError('x')", "OSError(5, 'I/O error')"])
def test_a_bug_is_a_traceback(bug: str, boom: Path) -> None:
    boom.write_text(f"raise {bug}")
    with pytest.raises((RuntimeError, AssertionError, KeyError, OSError)) as caught:
        kit.cli.run(["boom", str(boom)])
    assert not isinstance(caught.value, KitError)


@pytest.mark.parametrize("command", ["", *sorted(f.stem for f in Path(kit.cli.__file__).parent.glob("[!_]*.py"))])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help(command: str, flag: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run([*([command] if command else []), flag]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.startswith(f"Usage: kit {command}".rstrip())
    assert len(out.splitlines()) > 5
    assert max(map(len, out.splitlines())) <= 110


class TestTheProcess:
    """As a shell sees it."""

    KIT = (sys.executable, "-m", "kit")

    @pytest.mark.parametrize("arguments", [("--help",), ("targets",), ("targets", "--json"), ("cache", "--json")])
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_reader_that_leaves_is_no_error(
        self, arguments: tuple[str, ...], unbuffered: str, tmp_path: Path
    ) -> None:
        read, write = os.pipe()
        os.close(read)
        variables = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "KIT_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(
            [*self.KIT, *arguments], stdout=write, stderr=subprocess.PIPE, text=True, env=variables, timeout=60
        )
        os.close(write)
        assert (done.returncode, done.stderr) == (141, "")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_full_disk_below_the_output_is_one_line(self, unbuffered: str, tmp_path: Path) -> None:
        variables = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "KIT_CACHE_DIR": str(tmp_path)}
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [*self.KIT, "cache", "--json"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env=variables,
                timeout=600,
            )
        assert done.returncode == 41
        assert re.fullmatch(r"kit: no space left .*\n", done.stderr)

    def test_ctrl_c_is_one_line_and_130(self, tmp_path: Path) -> None:
        pytest.importorskip("torch")
        # A shell starts what runs in the background with SIGINT ignored, and children inherit that.
        program = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import kit.cli; kit.cli.main()"
        )
        (tmp_path / "slow.py").write_text("import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(60)\n")
        variables = {**os.environ, "KIT_CACHE_DIR": str(tmp_path / "cache")}
        process = subprocess.Popen(
            [sys.executable, "-c", program, "generate", "slow:build", "--no-verify"],
            cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out) == (130, ""), err
        assert err.strip().splitlines()[-1] == "kit: interrupted; what stood in the output folder still stands"
        assert "Traceback" not in err
        assert sorted(p.name for p in tmp_path.iterdir() if p.name[0] != "_") == ["begun", "cache", "slow.py"]
