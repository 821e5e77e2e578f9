"""Calls without grpc: on a real grpc server, and on a peer that opens its windows and cuts its frames as it likes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

import gevent
import gevent.socket
import pytest
from fake_server import FakeServer, RefusedError, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from kit.load.protocols import _frames, _hpack
from kit.load.protocols._direct import Direct
from kit.load.protocols._line import Line
from kit.stream.channel import Channel
from kit.stream.failures import CallFailedError, Failure, Trouble

PATIENCE_S = 20.0


def request(number: int, size: int = 10) -> bytes:
    made = service_pb2.ModelInferRequest(model_name="echo", id=str(number))
    made.inputs.add(name="image", datatype="UINT8", shape=[size])
    made.raw_input_contents.append(bytes([number % 251]) * size)
    return bytes(made.SerializeToString())


def answers(direct: Direct, requests: list[bytes], timeout_s: float = PATIENCE_S) -> list[Failure | None]:
    """Send all at once and return what became of them."""
    found: dict[int, Failure | None] = {}
    for number, each in enumerate(requests):
        direct.submit(each, timeout_s, lambda failure, number=number: found.setdefault(number, failure))  # type: ignore[misc]
    with gevent.Timeout(PATIENCE_S + 5):
        while len(found) < len(requests):
            gevent.sleep(0.005)
    return [found[number] for number in range(len(requests))]


def test_every_request_arrives_whole_however_large_it_is() -> None:
    sizes = [1, 2, 16_300, 16_379, 16_380, 70_000, 1_300_000, 3_000_000] * 3
    with running(FakeServer()) as fake:
        direct = Direct(address=fake.url)
        assert answers(direct, [request(n, size) for n, size in enumerate(sizes)]) == [None] * len(sizes)
        assert answers(direct, [request(n) for n in range(500)]) == [None] * 500
        direct.close()
    came = {int(found.id): len(found.raw_input_contents[0]) for found in fake.requests[: len(sizes)]}
    assert came == dict(enumerate(sizes))
    assert all(set(found.raw_input_contents[0]) <= {int(found.id) % 251} for found in fake.requests)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("INVALID_ARGUMENT", "unexpected shape for input 'images': 50% of [1,2]\nnaïve ümläut"),
        ("UNAVAILABLE", "Exceeds maximum queue size"),
        ("NOT_FOUND", "Request for unknown model: 'm' is not found"),
        ("INTERNAL", ""),
    ],
)
def test_a_failure_means_what_grpc_says_of_it(code: str, words: str) -> None:
    def refuse(_: object) -> None:
        raise RefusedError(code, words)

    with running(FakeServer(behave=refuse)) as fake:
        channel, direct = Channel(url=fake.url), Direct(address=fake.url)
        with pytest.raises(CallFailedError) as told:
            channel.answer(request(0), 5.0)
        assert answers(direct, [request(0), request(1)]) == [told.value.failure] * 2
        channel.close()
        direct.close()


def test_an_answer_that_takes_too_long_is_given_up_and_the_next_one_comes() -> None:
    let = threading.Event()
    with running(FakeServer(behave=lambda found: let.wait(60) if found.id == "0" else None)) as fake:
        direct = Direct(address=fake.url)
        begun_s = time.monotonic()
        (late,) = answers(direct, [request(0)], timeout_s=0.3)
        assert late is not None
        assert (late.trouble, 0.3 <= time.monotonic() - begun_s < 30) == (Trouble.DEADLINE, True)
        assert answers(direct, [request(1)]) == [None]
        let.set()
        direct.close()


def test_a_server_that_goes_and_comes_back() -> None:
    let = threading.Event()
    with running(FakeServer(behave=lambda found: let.wait(60) if found.id == "7" else None)) as fake:
        direct = Direct(address=fake.url)
        assert answers(direct, [request(0)]) == [None]
        direct.submit(request(7), 5.0, (lost := []).append)
        gevent.sleep(0.2)
        let.set()
    with gevent.Timeout(PATIENCE_S):
        while not lost:
            gevent.sleep(0.01)
    assert lost[0] is None or lost[0].trouble in (Trouble.UNREACHABLE, Trouble.CANCELLED)
    (gone,) = answers(direct, [request(1)])
    assert gone == Failure(trouble=Trouble.UNREACHABLE, text="Connection refused")
    with running(FakeServer(port=fake.port)):
        gevent.sleep(0.3)
        assert answers(direct, [request(2)]) == [None]
        direct.close()
    (closed,) = answers(direct, [request(3)])
    assert closed is not None
    assert closed.trouble is Trouble.CANCELLED


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\nno such thing here", b"", bytes(range(256)) * 40])
def test_what_is_no_grpc_server_is_told_and_waited_for_by_nobody(said: bytes) -> None:
    def answer(peer: socket.socket) -> None:
        for _ in range(2):
            connection, _ = peer.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as peer:
        threading.Thread(target=answer, args=(peer,), daemon=True).start()
        direct = Direct(address=f"127.0.0.1:{peer.getsockname()[1]}")
        (failure,) = answers(direct, [request(0)], timeout_s=3.0)
        assert failure is not None
        direct.close()


class Peer:
    """A server's side of HTTP/2 that a test can see through. It answers each body with OK, or as ``end`` says."""

    def __init__(self, line: socket.socket, *, cut: int, wanted: dict[int, int], step: int) -> None:
        self.line, self.cut, self.step = line, cut, step
        self.bodies: dict[int, bytearray] = {}
        self.ended: list[int] = []
        self.most = self.open = 0
        self.window = {0: 65_535}
        self.initial = wanted.get(_frames.INITIAL_WINDOW, 65_535)
        self.frame = wanted.get(_frames.FRAME_SIZE, 16_384)
        self.say(_frames.frame(_frames.SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in wanted.items())))
        self.greenlet = gevent.spawn(self.run)

    def say(self, content: bytes) -> None:
        for place in range(0, len(content), self.cut):
            self.line.sendall(content[place : place + self.cut])

    def run(self) -> None:
        buffer = b""
        while not buffer.startswith(b"PRI") or len(buffer) < 24:
            buffer += self.line.recv(100)
        buffer = buffer[24:]
        while True:
            while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3], "big")):
                self.take(buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big"), buffer[9:end])
                buffer = buffer[end:]
            came = self.line.recv(1 << 16)
            if not came:
                return
            buffer += came

    def close(self) -> None:
        assert not self.greenlet.ready() or self.greenlet.successful(), "what it has seen was right"
        self.greenlet.kill()
        self.line.close()

    def take(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        if kind == _frames.HEADERS:
            self.bodies[stream], self.window[stream] = bytearray(), self.initial
            self.open += 1
            self.most = max(self.most, self.open)
        elif kind == _frames.DATA:
            self.bodies[stream] += content
            assert len(content) <= self.frame
            for which in (0, stream):
                self.window[which] -= len(content)
                assert self.window[which] >= 0, "more was sent than the window takes"
            if flags & _frames.END_STREAM:
                self.open -= 1
                self.ended.append(stream)
                self.end(stream)
            self.widen(stream)

    def widen(self, stream: int) -> None:
        for which in (0, stream):
            if self.window[which] < self.step:
                self.window[which] += self.step
                self.say(_frames.frame(_frames.WINDOW, 0, which, self.step.to_bytes(4, "big")))

    def end(self, stream: int) -> None:
        self.say(_frames.frame(_frames.HEADERS, _frames.END_HEADERS, stream, b"\x88"))
        self.say(_frames.frame(_frames.PING, 0, 0, b"12345678"))
        self.say(_frames.frame(_frames.DATA, 0, stream, b"\0\0\0\0\0"))
        block = _hpack.literal("grpc-status", "0")
        self.say(_frames.frame(_frames.HEADERS, _frames.END_STREAM, stream, block[:4]))
        self.say(_frames.frame(_frames.CONTINUATION, _frames.END_HEADERS, stream, block[4:]))


def pair(**changes: int) -> tuple[Line, Peer]:
    ours, theirs = gevent.socket.socketpair()
    ours.settimeout(0)
    given = {"cut": 1000, "step": 100_000, **changes}
    wanted = {int(name[1:]): given.pop(name) for name in list(given) if name.startswith("_")}
    return Line(ours), Peer(theirs, wanted=wanted, **given)


def called(line: Line, messages: list[bytes]) -> list[Failure | None]:
    found: dict[int, Failure | None] = {}
    for number, message in enumerate(messages):
        line.submit(b"\x83", message, PATIENCE_S, lambda failure, number=number: found.setdefault(number, failure))  # type: ignore[misc]
    with gevent.Timeout(PATIENCE_S):
        while len(found) < len(messages):
            gevent.sleep(0)
    return [found[number] for number in range(len(messages))]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=st.lists(st.integers(0, 40_000), min_size=1, max_size=8),
    window=st.integers(5, 80_000),
    frame=st.integers(16_384, 40_000),
    streams=st.integers(1, 4),
    cut=st.integers(7, 300),
    step=st.integers(4000, 50_000),
)
def test_whatever_a_server_takes_at_once_bodies_arrive_whole_and_no_window_is_exceeded(
    sizes: list[int], window: int, frame: int, streams: int, cut: int, step: int
) -> None:
    line, peer = pair(cut=cut, step=step, _3=streams, _4=window, _5=frame)
    with gevent.Timeout(PATIENCE_S):
        while (line._most, line._initial, line._frame) != (streams, window, frame):
            gevent.sleep(0)
    messages = [bytes([number]) * size for number, size in enumerate(sizes)]
    assert called(line, messages) == [None] * len(messages)
    assert sorted(peer.bodies.values()) == sorted(b"\0" + len(m).to_bytes(4, "big") + m for m in messages)
    assert peer.most <= streams
    line.close()
    peer.close()


@pytest.mark.parametrize(
    ("said", "trouble", "words"),
    [
        (lambda n: _frames.frame(_frames.RESET, 0, n, (7).to_bytes(4, "big")), Trouble.UNREACHABLE, "reset (code 7)"),
        (lambda _: _frames.frame(_frames.GOAWAY, 0, 0, bytes(8)), Trouble.UNREACHABLE, "is going away"),
        (lambda n: _frames.frame(_frames.DATA, 1, n, b""), Trouble.UNREACHABLE, "without a status"),
        (lambda n: _frames.frame(_frames.HEADERS, 5, n, b"\x8d"), Trouble.UNREACHABLE, "HTTP status 404"),
        (lambda n: _frames.frame(_frames.HEADERS, 5, n, b"\xff\x00"), Trouble.FAILED, "dynamic table"),
        (lambda n: _frames.frame(_frames.HEADERS, 13, n, b""), Trouble.FAILED, "broken"),
    ],
)
def test_other_ends_of_a_call(said: Callable[[int], bytes], trouble: Trouble, words: str) -> None:
    line, peer = pair()
    peer.end = lambda stream: peer.say(said(stream))  # type: ignore[method-assign]
    (failure,) = called(line, [b"x"])
    assert failure is not None
    assert (failure.trouble, words in failure.text) == (trouble, True), failure
    line.close()
    peer.close()


TEXT = st.text(st.characters(codec="utf-8"), max_size=300)


@given(TEXT.filter(bool), TEXT, st.integers(0, 200))
def test_a_header_is_read_as_it_was_written_and_what_is_cut_off_is_refused(name: str, value: str, cut: int) -> None:
    block = _hpack.literal(name, value)
    assert _hpack.decoded(b"\x20\x88" + block) == {":status": "200", name: value}
    if 0 < cut < len(block):
        with pytest.raises(ValueError, match="ends too early"):
            _hpack.decoded(block[:-cut])


@given(st.binary(max_size=60))
def test_any_bytes_are_headers_or_refused(block: bytes) -> None:
    with contextlib.suppress(ValueError):
        found = _hpack.decoded(block)
        assert all(isinstance(value, str) for value in found.values())


@pytest.mark.parametrize(
    ("coded", "text"),
    [
        ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
        ("a8eb10649cbf", "no-cache"),
        ("25a849e95bb8e8b4bf", "custom-value"),
        ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ],
)
def test_texts_of_the_huffman_code_as_the_standard_has_them(coded: str, text: str) -> None:
    content = bytes.fromhex(coded)
    block = b"\0" + b"\x01k" + bytes([0x80 | len(content)]) + content
    assert _hpack.decoded(block) == {"k": text}
