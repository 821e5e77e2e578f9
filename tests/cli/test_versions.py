"""What a second, third ... ``kit generate`` into one repository changes, and what it leaves alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import drafts
import models
import pytest

from .conftest import Kit

OUT = Path("model_repository")
M = OUT / "m"

Generate = Callable[..., None]


@pytest.fixture
def generate(kit_command: Kit) -> Generate:
    """Return ``generate(factor, *options)``: publishes ``y = x * factor`` as ``m``."""

    def run(factor: float, *options: str) -> None:
        models.save(models.scale(factor), Path("m.onnx"))
        outcome = kit_command("generate", "m.onnx", "--no-verify", "--quiet", *options)
        assert (outcome.code, outcome.err) == (0, "")

    return run


@pytest.fixture
def refused(kit_command: Kit) -> Callable[..., None]:
    """Assert that a run is refused and that not a byte and no time stamp in the repository changes."""

    def run(code: int, *words: str, options: tuple[str, ...] = ()) -> None:
        models.save(models.scale(99), Path("m.onnx"))
        before = stamps(OUT)
        kit_command("generate", "m.onnx", "--no-verify", "--quiet", *options).refuses(code, *words)
        assert stamps(OUT) == before

    return run


def stamps(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return inode, time and content of everything: equal only where nothing was touched."""
    return {
        p.as_posix(): (p.stat().st_ino, p.stat().st_mtime_ns, p.is_file() and p.read_bytes())
        for p in [folder, *sorted(folder.rglob("*"))]
    }


def versions() -> list[str]:
    return sorted(p.name for p in M.iterdir() if p.name.isdecimal())


class TestNumbers:
    def test_a_changed_model_is_the_next_version(self, generate: Generate) -> None:
        for number in (1, 2, 3):
            generate(number)
            assert drafts.version_of(M) == number
            assert max(versions()) == str(number)

    def test_the_same_again_touches_nothing(self, generate: Generate, kit_command: Kit) -> None:
        generate(1)
        before = stamps(OUT)
        generate(1)
        assert stamps(OUT) == before
        answer = json.loads(kit_command("generate", "m.onnx", "--no-verify", "--json").out)
        assert answer["entry"]["changed"] is False
        assert stamps(OUT) == before

    def test_the_same_without_cache_touches_nothing_either(self, generate: Generate) -> None:
        generate(1)
        before = stamps(OUT)
        generate(1, "--no-cache")
        assert stamps(OUT) == before

    @pytest.mark.parametrize("option", ["--max-batch-size=3", "--instances=2", "--queue-delay-us=7", "--target=t4"])
    def test_another_configuration_keeps_version_and_weights(self, generate: Generate, option: str) -> None:
        generate(1)
        weights, config = stamps(M)[f"{M}/1/model.onnx"], (M / "config.pbtxt").read_text()
        generate(1, option)
        assert drafts.version_of(M) == 1
        assert versions() == ["1"]
        assert (M / "config.pbtxt").read_text() != config
        assert stamps(M)[f"{M}/1/model.onnx"] == weights

    def test_back_to_an_older_model_is_a_new_version(self, generate: Generate) -> None:
        for factor in (1, 2, 1):
            generate(factor, "--keep", "9")
        assert versions() == ["1", "2", "3"]
        assert (M / "1/model.onnx").read_bytes() == (M / "3/model.onnx").read_bytes()

    @pytest.mark.parametrize("keep", [0, 1, 3])
    def test_as_many_old_ones_stay_as_asked(self, generate: Generate, keep: int) -> None:
        contents = {}
        for number in range(1, 7):
            generate(number, "--keep", str(keep))
            contents[str(number)] = (M / str(number) / "model.onnx").read_bytes()
            assert versions() == [str(n) for n in range(max(1, number - keep), number + 1)]
        for number in versions():
            assert (M / number / "model.onnx").read_bytes() == contents[number]

    def test_old_ones_keep_their_inode(self, generate: Generate) -> None:
        """They are linked, not copied: a device's disk holds a model once."""
        generate(1)
        before = (M / "1/model.onnx").stat()
        generate(2)
        after = (M / "1/model.onnx").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)

    def test_fewer_to_keep_drops_them_without_a_new_model(self, generate: Generate) -> None:
        for number in (1, 2, 3):
            generate(number, "--keep", "5")
        generate(3, "--keep", "0")
        assert versions() == ["3"]

    def test_the_manifest_lists_exactly_what_is_there(self, generate: Generate) -> None:
        for number in (1, 2, 3):
            generate(number, "--target", "x86-cpu", "--target", "t4")
        listed = set(json.loads((M / "manifest.json").read_text())["files"]) | {"manifest.json"}
        assert listed == {p.relative_to(M).as_posix() for p in M.rglob("*") if p.is_file()}


class TestOthersFiles:
    def test_a_folder_of_another_maker_stops_the_run(self, refused: Callable[..., None]) -> None:
        (OUT / "theirs" / "1").mkdir(parents=True)
        (OUT / "theirs" / "config.pbtxt").write_text("theirs")
        refused(42, "theirs was not written by kit", "--alongside")

    def test_it_is_let_stand_with_alongside(self, generate: Generate) -> None:
        (OUT / "theirs" / "1").mkdir(parents=True)
        (OUT / "theirs" / "config.pbtxt").write_text("theirs")
        before = stamps(OUT / "theirs")
        generate(1, "--alongside")
        assert stamps(OUT / "theirs") == before
        assert drafts.version_of(M) == 1

    @pytest.mark.parametrize("content", [None, "{}", "[]", "no json", '{"format": "other/1"}', '{"format": 3}'])
    @pytest.mark.parametrize("options", [(), ("--alongside",), ("--discard-edits",)])
    def test_under_the_models_own_name_never(
        self, refused: Callable[..., None], content: str | None, options: tuple[str, ...]
    ) -> None:
        M.mkdir(parents=True)
        (M / "precious").write_text("theirs")
        if content is not None:
            (M / "manifest.json").write_text(content)
        refused(42, "m was not written by kit", options=options)

    def test_a_manifest_of_another_kit_is_told(self, generate: Generate, refused: Callable[..., None]) -> None:
        generate(1)
        (M / "manifest.json").write_text('{"format": "triton-edge-kit/9", "name": "m"}')
        refused(45, "written by another version of the kit", "choose another --output, or delete the folder")

    def test_hidden_folders_are_nobodys_model(self, generate: Generate) -> None:
        (OUT / ".git").mkdir(parents=True)
        generate(1)
        assert (OUT / ".git").is_dir()

    def test_several_models_live_side_by_side(self, generate: Generate) -> None:
        generate(1)
        before = stamps(M)
        generate(2, "--name", "other")
        assert stamps(M) == before
        assert sorted(p.name for p in OUT.iterdir()) == ["m", "other"]

    def test_another_source_under_the_same_name_is_told(self, generate: Generate, kit_command: Kit) -> None:
        generate(1)
        models.save(models.scale(2), Path("n.onnx"))
        told = kit_command("generate", "n.onnx", "--name", "m", "--no-verify")
        assert "n.onnx takes the place of m.onnx, of which m version 1 was made" in " ".join(told.err.split())
        assert "takes the place" not in kit_command("generate", "n.onnx", "--name", "m", "--no-verify").err


EDITS = {
    "a text changed": lambda: (M / "config.pbtxt").write_text("mine"),
    "a weight changed": lambda: (M / "1/model.onnx").write_bytes(b"mine"),
    "a file gone": lambda: (M / "configs/x86-cpu.pbtxt").unlink(),
    "a file added": lambda: (M / "configs/mine.pbtxt").write_text("mine"),
    "a version added": lambda: ((M / "7").mkdir(), (M / "7/model.onnx").write_bytes(b"mine")),
}


class TestEdits:
    @pytest.mark.parametrize("edit", EDITS)
    def test_stop_the_run_and_name_the_file(self, generate: Generate, refused: Callable[..., None], edit: str) -> None:
        generate(1)
        EDITS[edit]()
        what = "was added to what" if "added" in edit else "is missing from" if "gone" in edit else "was changed after"
        refused(43, f"{what} ", "kit wrote", "--discard-edits")

    @pytest.mark.parametrize("edit", EDITS)
    @pytest.mark.parametrize("factor", [1, 2], ids=["same model", "another model"])
    def test_are_gone_with_discard_edits(self, generate: Generate, edit: str, factor: int) -> None:
        generate(1)
        EDITS[edit]()
        generate(factor, "--discard-edits")
        before = stamps(OUT)
        generate(factor)
        assert stamps(OUT) == before
        assert (M / f"{factor}/model.onnx").read_bytes() != b"mine"
        assert b"mine" not in drafts.tree(M).values()

    def test_in_an_old_version_take_only_that_one_away(self, generate: Generate) -> None:
        for number in (1, 2, 3):
            generate(number, "--keep", "5")
        (M / "1/model.onnx").write_bytes(b"mine")
        generate(4, "--keep", "5", "--discard-edits")
        assert versions() == ["2", "3", "4"]

    def test_several_are_counted(self, generate: Generate, refused: Callable[..., None]) -> None:
        generate(1)
        EDITS["a text changed"]()
        EDITS["a file gone"]()
        refused(43, "config.pbtxt", "(and 1 more)")


class TestDamagedCache:
    def test_weights_that_changed_in_the_cache_are_not_published(
        self, generate: Generate, kit_command: Kit, tmp_path: Path
    ) -> None:
        generate(1)
        files = {
            file.stat().st_ino: file for file in (tmp_path / "cache").rglob("model.onnx")
        }  # many names of one file
        for file in files.values():
            data = bytearray(file.read_bytes())
            data[-1] ^= 1
            file.write_bytes(data)
        answer = kit_command("generate", "m.onnx", "--no-verify", "--quiet", "--output", "elsewhere")
        answer.refuses(30, "kit cache --clear")
        assert not Path("elsewhere").exists()
        assert kit_command("cache", "--clear").code == 0
        assert kit_command("generate", "m.onnx", "--no-verify", "--quiet", "--output", "elsewhere").code == 0

    @pytest.mark.parametrize("how", ["half of the value", "no value", "no model", "not JSON"])
    def test_broken_entries_are_made_anew(self, generate: Generate, tmp_path: Path, how: str) -> None:
        generate(1)
        for value in (tmp_path / "cache").rglob("value.json"):
            if how == "no value":
                value.unlink()
            elif how == "no model":
                (value.parent / "model.onnx").unlink(missing_ok=True)
            else:
                value.write_bytes(value.read_bytes()[:20] if how == "half of the value" else b"\xff\x00")
        before = stamps(OUT)
        generate(1)
        assert stamps(OUT) == before

    def test_a_cache_that_cannot_be_written_is_told(self, generate: Generate, kit_command: Kit, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file")
        models.save(models.scale(), Path("m.onnx"))
        outcome = kit_command("generate", "m.onnx", "--no-verify", "--quiet")
        outcome.refuses(40, "cache")


class TestTwoAtOnce:
    """Real processes that start together, again and again."""

    @staticmethod
    def together(*names: str, cold: bool = False) -> list[tuple[int, str]]:
        running = []
        for index, name in enumerate(names):
            models.save(models.scale(index + 2), Path(f"{index}.onnx"))
            command = [
                sys.executable,
                "-m",
                "kit",
                "generate",
                f"{index}.onnx",
                "--name",
                name,
                "--no-verify",
                "--quiet",
            ]
            running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        ended = []
        for process in running:
            _, error = process.communicate(timeout=300)
            ended.append((process.returncode, error))
        return ended

    def test_two_models_into_one_repository_are_both_there(self, kit_command: Kit) -> None:
        assert self.together("a", "b") == [(0, ""), (0, "")]
        assert sorted(p.name for p in OUT.iterdir()) == ["a", "b"]
        assert {drafts.version_of(OUT / "a"), drafts.version_of(OUT / "b")} == {1}
        assert list(Path().glob(".*")) == []

    def test_one_name_twice_is_one_whole_model(self, generate: Generate) -> None:
        generate(1)
        ended = self.together("m", "m", "m")
        for code, error in ended:
            assert code in (0, 44)
            assert error == "" or re.search(r"another run published m of \d\.onnx meanwhile; run this one again", error)
        assert 0 in {code for code, _ in ended}
        listed = json.loads((M / "manifest.json").read_text())["files"]
        present = {p.relative_to(M).as_posix() for p in M.rglob("*") if p.is_file()}
        assert present == {*listed, "manifest.json"}
        assert drafts.version_of(M) > 1
        generate(9)
        assert list(Path().glob(".*")) == []

    def test_one_source_and_a_cold_cache(self, kit_command: Kit) -> None:
        models.save(models.classifier(), Path("m.onnx"))
        command = [sys.executable, "-m", "kit", "generate", "m.onnx", "--no-verify", "--quiet", "--output"]
        running = [subprocess.Popen([*command, f"out{n}"], stderr=subprocess.PIPE, text=True) for n in range(4)]
        for process in running:
            assert process.communicate(timeout=300)[1] == ""
            assert process.returncode == 0
        assert len({tuple(drafts.tree(Path(f"out{n}")).items()) for n in range(4)}) == 1


def test_links_in_the_path_of_the_output_are_followed(generate: Generate) -> None:
    Path("real/below").mkdir(parents=True)
    Path("link").symlink_to("real/below")
    generate(1, "--output", "link/out")
    generate(2, "--output", "link/out")
    assert drafts.version_of(Path("real/below/out/m")) == 2
    assert os.path.islink("link")  # noqa: PTH114
