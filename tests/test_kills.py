"""A process that is killed at any step leaves the old folder or the new one, and nothing for the next run to trip on.

The process kills itself inside an audit hook, before its n-th access to the file system, for n = 1, 2, ...
until one survives: https://docs.python.org/3/library/audit_events.html
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import drafts
import pytest

from kit import disk
from kit.cache import Cache, Key, clear

WATCHED = ("open", "os.", "shutil.", "fcntl.", "ctypes.", "tempfile.")
KILLED, DONE = -signal.SIGKILL, 0


def run_until(event: int, work: Callable[[], object]) -> int:
    """Run in a fork that is killed before its n-th event; return how it ended, as ``subprocess`` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads; the child only touches files
        child = os.fork()
    if child == 0:
        left = event

        def hook(name: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if name.startswith(WATCHED):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            work()
        except BaseException as error:  # noqa: BLE001 (a fork must not return into pytest)
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kills(prepare: Callable[[], object], work: Callable[[], object]) -> Iterator[int]:
    """Kill ``work`` at each of its steps, each time on fresh ground; yield after each kill."""
    event = 0
    while True:
        event += 1
        prepare()
        ended = run_until(event, work)
        if ended == DONE:
            assert event > 10, "the hook saw nothing"
            return
        assert ended == KILLED, f"failed at event {event}"
        yield event


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "here" / "repository"


CHANGES: Mapping[str, tuple[tuple[str, str] | None, tuple[str, str]]] = {
    "first publication": (None, ("one", "config")),
    "new version": (("one", "config"), ("two", "config")),
    "only a text": (("one", "config"), ("one", "other config")),
}


@pytest.mark.parametrize(("change", "exchange"), [*((change, True) for change in CHANGES), ("new version", False)])
def test_publishing_leaves_the_old_or_the_new(
    place: Path, monkeypatch: pytest.MonkeyPatch, change: str, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(disk, "exchange", lambda new, old: False)
    before, after = CHANGES[change]
    ground = place.parent

    def publish(what: tuple[str, str]) -> None:
        drafts.publish(place, what[0], text=what[1])

    def prepare() -> None:
        shutil.rmtree(ground, ignore_errors=True)
        if before:
            publish(before)

    prepare()
    old = drafts.tree(place)
    publish(after)
    new = drafts.tree(place)
    assert old != new

    seen = set()
    for event in kills(prepare, lambda: publish(after)):
        stands = drafts.tree(place)
        if stands == {} or stands == {"model": b"<folder>"}:
            assert stands == {}, event
            assert before is None or not exchange, f"gone at {event}"
        assert stands in (old, new, {}), f"a mix at {event}: {sorted(stands)}"
        seen.add("old" if stands == old else "new" if stands == new else "gone")
        publish(after)
        assert drafts.tree(place) == new, event
        assert sorted(p.name for p in ground.iterdir()) == ["artifacts", "repository"], event
    assert {"old", "new"} <= seen


def test_a_repository_whose_replacement_was_cut_in_two_is_whole_again_for_any_next_run(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for one that publishes another model, and before it has done anything."""
    monkeypatch.setattr(disk, "exchange", lambda new, old: False)

    def prepare() -> None:
        shutil.rmtree(place.parent, ignore_errors=True)
        drafts.publish(place, "one")

    gone = 0
    for event in kills(prepare, lambda: drafts.publish(place, "two")):
        gone += not (place / "model").exists()
        drafts.publish(place, "three", name="other")
        assert (place / "model" / "1" / "model.onnx").read_text() == "one", event
        assert sorted(p.name for p in place.iterdir()) == ["model", "other"], event
    assert gone


def test_a_killed_run_leaves_nothing_in_the_root(place: Path) -> None:
    """Triton takes every folder there for a model."""

    def prepare() -> None:
        shutil.rmtree(place.parent, ignore_errors=True)
        drafts.publish(place, "one")

    for event in kills(prepare, lambda: drafts.publish(place, "two", name="other")):
        assert {p.name for p in place.iterdir()} <= {"model", "other"}, event


class TestCache:
    KEY = Key(stage="test", inputs=("a",))

    @staticmethod
    def build(folder: Path) -> tuple[Path, str]:
        (folder / "big.bin").write_bytes(b"content" * 1000)
        (folder / "sub").mkdir()
        (folder / "sub" / "more.txt").write_text("more")
        return folder / "big.bin", "value"

    @pytest.mark.parametrize("fresh", [False, True], ids=["first time", "again"])
    def test_an_entry_is_whole_or_absent(self, tmp_path: Path, fresh: bool) -> None:
        root = tmp_path / "stages"
        kind = tuple[Path, str]

        def prepare() -> None:
            shutil.rmtree(root, ignore_errors=True)
            if fresh:
                Cache(root=root).make(self.KEY, kind, self.build)

        found = 0
        for event in kills(prepare, lambda: Cache(root=root, fresh=fresh).make(self.KEY, kind, self.build)):
            value = Cache(root=root).find(self.KEY, kind)
            assert value is not None or not fresh, event
            if value is not None:
                found += 1
                assert value[0].read_bytes() == b"content" * 1000, event
                assert (value[0].parent / "sub" / "more.txt").read_text() == "more", event
            assert Cache(root=root).make(self.KEY, kind, self.build)[1] == "value", event
        assert found

    def test_clearing_that_is_killed_leaves_no_broken_entry(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path))
        kind = tuple[Path, str]

        def prepare() -> None:
            Cache().make(self.KEY, kind, self.build)

        for event in kills(prepare, lambda: clear(server=False)):
            value = Cache().find(self.KEY, kind)
            assert value is None or value[0].read_bytes() == b"content" * 1000, event
