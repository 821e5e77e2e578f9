"""Stubs that died, as /proc shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.server import stubs
from kit.server.stubs import StubWatch

MODELS = {1: "a", 2: "a", 3: "b"}


class Watched:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: dict[int, str] = {}
        self.watch = StubWatch(server_pid=9, repository=Path("/r"))
        monkeypatch.setattr(stubs, "_children", lambda _: self.states)
        monkeypatch.setattr(stubs, "_model_of", lambda pid, _: MODELS.get(pid))

    def dead(self, **states: str) -> set[str]:
        self.states = {int(name[1:]): state for name, state in states.items()}
        return set(self.watch.dead())


def test_a_zombie_counts_at_its_second_look_and_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    assert watched.dead(p1="S", p3="S") == set()
    assert watched.dead(p1="Z", p3="S") == set()
    assert watched.dead(p1="Z", p3="S") == {"a"}
    assert watched.dead(p1="Z", p3="S") == set()
    assert watched.dead(p3="Z") == set()
    assert watched.dead(p3="Z") == {"b"}


def test_its_models_other_stubs_may_linger_while_they_are_unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    watched.dead(p1="S", p2="S")
    watched.dead(p1="Z", p2="S")
    assert watched.dead(p1="Z", p2="S") == {"a"}
    assert watched.dead(p1="Z", p2="Z") == set()
    assert watched.dead(p1="Z", p2="Z") == set()


def test_a_number_that_is_used_again_is_another_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    for states in ({"p1": "S"}, {"p1": "Z"}, {"p1": "Z"}, {}, {"p1": "S"}, {"p1": "Z"}):
        watched.dead(**states)
    assert watched.dead(p1="Z") == {"a"}
