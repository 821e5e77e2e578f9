"""Before anything is loaded: what a server says to the first request, in words that help. A fake server for policy."""

from __future__ import annotations

from typing import Any

import pytest
from fake_server import FakeServer, RefusedError, running

from kit.errors import KitError, ModelContractError, NotReadyError, UsageError
from kit.load import protocols
from kit.load.profile import held
from kit.load.running import preflight
from kit.load.values import ModelShare, Plan


def plan(url: str, **changes: Any) -> Plan:
    return Plan(url=url, models=(ModelShare(name="echo"),), profile=held([1.0], 1.0), **changes)


def refusing(code: str, words: str) -> FakeServer:
    def behave(_: Any) -> None:
        raise RefusedError(code, words)

    return FakeServer(behave=behave)


def test_one_request_of_each_model_is_sent_with_values_that_fit() -> None:
    with running(FakeServer()) as fake:
        preflight(plan(fake.url))
    (request,) = fake.requests
    assert list(request.inputs[0].shape) == [1, 8, 8, 3]
    assert len(request.raw_input_contents[0]) == 8 * 8 * 3


@pytest.mark.parametrize(
    ("code", "words", "kind", "said"),
    [
        (
            "INVALID_ARGUMENT",
            "unexpected shape",
            ModelContractError,
            'refused a request: "unexpected shape"; say the sizes',
        ),
        (
            "UNAVAILABLE",
            "model is not ready",
            NotReadyError,
            'is not ready to be measured: it said "model is not ready"',
        ),
        ("INTERNAL", "boom", NotReadyError, 'it said "boom"'),
    ],
)
def test_what_a_server_refuses_is_told_with_its_own_words(
    code: str, words: str, kind: type[KitError], said: str
) -> None:
    with running(refusing(code, words)) as fake, pytest.raises(kind, match=said):
        preflight(plan(fake.url))


def test_a_server_without_shared_memory_says_so() -> None:
    with (
        running(FakeServer()) as fake,
        pytest.raises(ModelContractError, match=r"takes no shared memory.*--allow-client"),
    ):
        preflight(plan(fake.url, protocol="shm"))
    with pytest.raises(ModelContractError, match="on another machine"):
        preflight(plan("192.0.2.1:8001", protocol="shm"))


@pytest.mark.parametrize("protocol", protocols.names())
def test_nobody_answers(protocol: str) -> None:
    with pytest.raises(NotReadyError, match="no server answers at localhost:1"):
        preflight(plan("localhost:1", protocol=protocol))


def test_an_address_that_is_none() -> None:
    with pytest.raises(UsageError, match="is no address of an HTTP server"):
        preflight(plan("a b", protocol="http"))
