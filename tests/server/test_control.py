"""Which models a start refuses to be without."""

from __future__ import annotations

from kit.server.control import ModelState, refusals


def state(name: str, state: str, reason: str = "") -> ModelState:
    return ModelState(name=name, version="1", state=state, reason=reason)


def test_every_wanted_model_must_be_ready_even_one_that_triton_does_not_list() -> None:
    states = (state("a", "READY"), state("b", "UNAVAILABLE", "Internal: bad file"), state("c", ""))
    assert refusals(states, ("a",), str.upper) is None
    said = "Triton refused to load model 'b': bad file; model 'c': C; model 'unlisted': UNLISTED"
    assert refusals(states, ("unlisted", "c", "b", "a"), str.upper) == said
