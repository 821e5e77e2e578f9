"""The repository on disk: who waits for whom, who is refused, and what is swept."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from pathlib import Path

import drafts
import pytest

from kit import disk, repository, workspace
from kit.errors import BadRepositoryError, RepositoryBusyError, StageError
from kit.repository import Content


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def stage(place: Path, weights: str, *, meanwhile: str | None = None) -> None:
    """Publish ``weights``; another run publishes ``meanwhile`` between the look at the place and the publishing."""
    published = repository.survey(place, "model", alongside=False, discard_edits=False)
    content = Content(texts={"config.pbtxt": "x"}, artifacts=(drafts.artifact(place.parent, weights),), keep=1)
    with workspace.opened(place) as work:
        draft = drafts.draft("model", repository.next_version(published, content.artifacts))
        entry = repository.stage(work, draft, published, content)
        if meanwhile is not None:
            drafts.publish(place, meanwhile)
        repository.publish(entry, published)


class TestTwoRuns:
    @pytest.mark.parametrize("before", [None, "zero"], ids=["first publication", "new version"])
    def test_the_later_one_is_told_and_changes_nothing(self, place: Path, before: str | None) -> None:
        if before:
            drafts.publish(place, before)
        with pytest.raises(RepositoryBusyError, match=r"published model of x\.onnx meanwhile; run this one again, or"):
            stage(place, "mine", meanwhile="theirs")
        texts = drafts.tree(place).values()
        assert b"theirs" in texts
        assert b"mine" not in texts
        assert sorted(p.name for p in place.parent.glob(".*")) == []

    def test_publishing_waits_for_the_one_that_publishes(self, place: Path) -> None:
        drafts.publish(place, "one")
        lock = os.open(place, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = threading.Thread(target=drafts.publish, args=(place, "two"))
        run.start()
        time.sleep(0.3)
        assert drafts.version_of(place / "model") == 1
        os.close(lock)
        run.join(60)
        assert drafts.version_of(place / "model") == 2

    def test_recovery_waits_for_the_one_that_is_between_two_renames(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or it would put back the old folder under the feet of the run that moved it aside."""
        drafts.publish(place, "one")
        monkeypatch.setattr(disk, "exchange", lambda new, old: False)
        rename, aside = Path.rename, threading.Event()

        def slow(self: Path, target: Path) -> Path:
            made = rename(self, target)
            if Path(target).name == "previous-model":
                aside.set()
                time.sleep(0.3)
            return made

        monkeypatch.setattr(Path, "rename", slow)
        run = threading.Thread(target=drafts.publish, args=(place, "two"))
        run.start()
        assert aside.wait(60)
        found = repository.survey(place, "other", alongside=False, discard_edits=False)
        run.join(60)
        assert found.manifest is None
        assert drafts.version_of(place / "model") == 2

    def test_the_staging_of_a_living_run_is_not_swept(self, place: Path) -> None:
        with workspace.opened(place) as mine:
            (mine / "file").write_text("mine")
            with workspace.opened(place) as theirs:
                assert theirs != mine
            assert (mine / "file").read_text() == "mine"
        assert sorted(p.name for p in place.parent.iterdir()) == []


class TestStaging:
    def test_a_copy_is_held_to_its_digest(self, place: Path) -> None:
        made = drafts.artifact(place.parent, "weights")
        made.path.write_text("others!")
        published = repository.survey(place, "model", alongside=False, discard_edits=False)
        content = Content(texts={}, artifacts=(made,), keep=1)
        with workspace.opened(place) as work, pytest.raises(StageError, match="kit cache --clear"):
            repository.stage(work, drafts.draft("model", 1), published, content)
        assert not place.exists()

    def test_works_where_the_disk_has_no_hard_links(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        for weights in ("one", "two"):
            drafts.publish(place, weights)
        assert (place / "model" / "1" / "model.onnx").read_text() == "one"

    def test_a_full_disk_while_linking_is_not_taken_for_missing_links(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "link", full)
        (tmp_path / "a").write_text("a")
        with pytest.raises(OSError, match="No space left"):
            disk.link_or_copy(tmp_path / "a", tmp_path / "b")
        assert not (tmp_path / "b").exists()

    def test_a_model_is_readable_by_all_that_the_umask_allows(self, place: Path) -> None:
        """Triton's container is another user."""
        old = os.umask(0o022)
        try:
            drafts.publish(place, "one")
        finally:
            os.umask(old)
        assert {p.stat().st_mode & 0o777 for p in place.rglob("*") if p.is_dir()} == {0o755}
        assert {p.stat().st_mode & 0o777 for p in place.rglob("*") if p.is_file()} == {0o644}


class TestExchange:
    def test_swaps_two_folders(self, tmp_path: Path) -> None:
        for name in "ab":
            (tmp_path / name).mkdir()
            (tmp_path / name / name).touch()
        assert disk.exchange(tmp_path / "a", tmp_path / "b")
        assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]
        assert [p.name for p in (tmp_path / "b").iterdir()] == ["a"]

    def test_of_what_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            disk.exchange(tmp_path / "a", tmp_path / "b")


class TestModels:
    def test_are_the_folders(self, place: Path) -> None:
        for name in ("b", "a", ".hidden"):
            (place / name).mkdir(parents=True)
        (place / "file").touch()
        assert repository.models(place) == ("a", "b")

    @pytest.mark.parametrize("make", [False, True], ids=["no folder", "an empty one"])
    def test_where_there_are_none_it_is_told(self, place: Path, make: bool) -> None:
        if make:
            place.mkdir()
        with pytest.raises(BadRepositoryError, match="kit generate"):
            repository.models(place)


@pytest.mark.parametrize("weights", ["one", "two"], ids=["same version", "next version"])
def test_versions_that_vanish_while_they_are_taken_over_are_told(place: Path, weights: str) -> None:
    """Another run that keeps fewer published meanwhile."""
    drafts.publish(place, "one")
    published = repository.survey(place, "model", alongside=False, discard_edits=False)
    shutil.rmtree(place)
    content = Content(texts={}, artifacts=(drafts.artifact(place.parent, weights),), keep=1)
    draft = drafts.draft("model", repository.next_version(published, content.artifacts))
    with workspace.opened(place) as work, pytest.raises(RepositoryBusyError, match="vanished meanwhile"):
        repository.stage(work, draft, published, content)
