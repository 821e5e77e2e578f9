"""The cache gives back what was made of exactly the same, wherever the folder stands, and keeps no litter."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kit import cache
from kit.cache import Cache, Key
from kit.types import DataType, Model, Signature, Tensor

KEY = Key(stage="test", inputs=("a" * 64,), parameters=("x", 1.5, None), tools=("msgspec",))


def build(folder: Path) -> Model:
    (folder / "model.onnx").write_bytes(b"weights")
    tensor = Tensor(name='"quoted" \\ /name/', dtype=DataType.FP16, shape=(-1, 3))
    return Model(
        path=folder / "model.onnx",
        digest="d",
        signature=Signature(inputs=(tensor,), outputs=()),
        metadata={"names": "{0: 'ü'}"},
        opset=18,
        ir_version=10,
    )


@pytest.fixture
def kept(tmp_path: Path) -> Cache:
    return Cache(root=tmp_path / "stages")


class TestEntries:
    def test_come_back_as_they_were_made(self, kept: Cache) -> None:
        assert kept.find(KEY, Model) is None
        made = kept.make(KEY, Model, build)
        assert kept.find(KEY, Model) == made
        assert made.path.read_bytes() == b"weights"
        assert replace(made, path=Path("m")) == replace(build(made.path.parent), path=Path("m"))

    def test_move_with_their_folder(self, kept: Cache, tmp_path: Path) -> None:
        kept.make(KEY, Model, build)
        kept.root.rename(tmp_path / 'else "where" \\')
        found = Cache(root=tmp_path / 'else "where" \\').find(KEY, Model)
        assert found is not None
        assert found.path == next((tmp_path / 'else "where" \\').rglob("model.onnx"))

    @pytest.mark.parametrize("name", ["@/input", "kit-cache-entry-5f0c9a7e:/x", "/etc"])
    def test_change_no_name_that_looks_like_a_path(self, kept: Cache, name: str) -> None:
        assert kept.make(KEY, tuple[str, Path], lambda _: (name, Path("/etc")))[0] == name
        assert kept.find(KEY, tuple[str, Path]) == (name, Path("/etc"))

    def test_without_their_file_are_not_found(self, kept: Cache) -> None:
        kept.make(KEY, Model, build).path.unlink()
        assert kept.find(KEY, Model) is None

    @pytest.mark.parametrize(
        "other",
        [
            replace(KEY, stage="other"),
            replace(KEY, inputs=("b" * 64,)),
            replace(KEY, inputs=("a" * 64, "")),
            replace(KEY, parameters=("x", 1.5000001, None)),
            replace(KEY, parameters=("x", 1.5, "None")),
            replace(KEY, tools=("click",)),
            replace(KEY, tools=()),
        ],
    )
    def test_are_only_for_exactly_the_same(self, kept: Cache, other: Key) -> None:
        kept.make(KEY, Model, build)
        assert kept.find(other, Model) is None

    def test_of_another_version_of_a_tool_are_not_found(self, kept: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        kept.make(KEY, Model, build)
        monkeypatch.setattr(cache, "tool_version", lambda _: "0.0.0")
        assert kept.find(KEY, Model) is None

    def test_of_another_kit_are_not_found(self, kept: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        kept.make(KEY, Model, build)
        monkeypatch.setattr(cache, "code_digest", lambda: "other")
        assert kept.find(KEY, Model) is None

    def test_of_another_kind_are_not_found(self, kept: Cache) -> None:
        kept.make(KEY, Model, build)
        assert kept.find(KEY, tuple[int, ...]) is None

    def test_are_not_made_by_what_fails(self, kept: Cache) -> None:
        def fail(folder: Path) -> Model:
            (folder / "half").touch()
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            kept.make(KEY, Model, fail)
        assert kept.find(KEY, Model) is None
        assert list(kept.root.rglob("half")) == []

    def test_that_are_empty_are_found(self, kept: Cache) -> None:
        kept.make(KEY, tuple[str, ...], lambda _: ())
        assert kept.find(KEY, tuple[str, ...]) == ()

    def test_are_not_found_by_a_fresh_cache_and_replaced_by_it(self, kept: Cache) -> None:
        kept.make(KEY, tuple[int, ...], lambda _: (1,))
        fresh = replace(kept, fresh=True)
        assert fresh.find(KEY, tuple[int, ...]) is None
        assert fresh.make(KEY, tuple[int, ...], lambda _: (2,)) == (2,)
        assert kept.find(KEY, tuple[int, ...]) == (2,)


def test_many_makers_and_readers_of_one_entry_never_see_half_of_it(kept: Cache) -> None:
    wrong: list[object] = []

    def once(fresh: bool) -> None:
        made = replace(kept, fresh=fresh).make(KEY, Model, build)
        found = kept.find(KEY, Model)
        if made.path.read_bytes() != b"weights" or found is None:
            wrong.append(found)

    def work(fresh: bool) -> None:
        try:
            for _ in range(40):
                once(fresh)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is wrong)
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(n % 2 == 0,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert list(kept.root.glob("making-*")) == []


class TestSweep:
    def test_takes_what_was_left_a_day_ago(self, kept: Cache) -> None:
        old, young = kept.root / "making-old", kept.root / "making-young"
        for folder in (old, young):
            (folder / "entry").mkdir(parents=True)
        long_ago = time.time() - 25 * 3600
        os.utime(old, (long_ago, long_ago))
        kept.make(KEY, Model, build)
        kept.sweep()
        assert (old.exists(), young.exists()) == (False, True)
        assert kept.find(KEY, Model) is not None

    def test_of_nothing_is_nothing(self, kept: Cache) -> None:
        kept.sweep()
        assert not kept.root.exists()

    def test_is_done_by_every_run(self, kept: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import models

        import kit.cli

        monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path))
        models.save(models.scale(), tmp_path / "m.onnx")
        old = kept.root / "making-old"
        old.mkdir(parents=True)
        os.utime(old, (0, 0))
        source, out = str(tmp_path / "m.onnx"), str(tmp_path / "out")
        assert kit.cli.run(["generate", source, "--no-verify", "--quiet", "--output", out]) == 0
        assert not old.exists()


class TestUsage:
    def test_is_counted_and_cleared(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path))
        (tmp_path / "server").mkdir()
        (tmp_path / "server" / "file").write_bytes(b"x" * 10)
        assert cache.usage().entries == 0
        Cache().make(KEY, Model, build)
        before = cache.usage()
        assert (before.entries, before.server_bytes) == (1, 10)
        assert before.stages_bytes > 7
        assert cache.clear(server=False) == before
        assert (cache.usage().entries, cache.usage().stages_bytes, cache.usage().server_bytes) == (0, 0, 10)
        cache.clear(server=True)
        assert cache.usage().server_bytes == 0
