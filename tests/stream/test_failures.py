import grpc
import pytest

from kit.stream.failures import Trouble, classify

HEARD = [
    # What Triton 2.51 was heard to say.
    ("NOT_FOUND", "Request for unknown model: 'nope' is not found", Trouble.UNKNOWN_MODEL),
    ("NOT_FOUND", "Request for unknown model: 'digits' version 9 is not found", Trouble.UNKNOWN_MODEL),
    ("NOT_FOUND", "Request for unknown model: 'digits' has no available versions", Trouble.NOT_READY),
    ("NOT_FOUND", "Unable to find shared memory region: 'nope'", Trouble.REGION),
    ("INTERNAL", "Unable to open shared memory region: '/kit_none'", Trouble.REGION),
    ("INVALID_ARGUMENT", "unexpected shape for input 'images' for model 'digits'. Expected [-1,3]", Trouble.MISFIT),
    ("INVALID_ARGUMENT", "inference input 'images' data-type is 'FP32', but expects 'UINT8'", Trouble.MISFIT),
    ("UNAVAILABLE", "Stream removed (recvmsg:Connection reset by peer (104))", Trouble.UNREACHABLE),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: Connection refused", Trouble.UNREACHABLE),
    ("UNAVAILABLE", "Server is stopping, scheduler for model has stopped accepting new requests", Trouble.UNREACHABLE),
    # From its sources: evicted from a queue, and refused by a full one.
    ("UNAVAILABLE", "Request timeout expired", Trouble.DEADLINE),
    ("UNAVAILABLE", "[request id: 7] Exceeds maximum queue size", Trouble.BUSY),
    ("INTERNAL", "Failed to increase the shared memory pool size for key 'x'", Trouble.FAILED),
    ("INTERNAL", "Failed to process the request(s), message: Stub process is not healthy.", Trouble.FAILED),
    # Of gRPC itself, and of proxies.
    ("RESOURCE_EXHAUSTED", "too many requests", Trouble.BUSY),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", Trouble.DEADLINE),
    ("PERMISSION_DENIED", "This protocol is restricted", Trouble.DENIED),
]


@pytest.mark.parametrize(("code", "words", "trouble"), HEARD)
def test_what_a_server_says_is_understood(code: str, words: str, trouble: Trouble) -> None:
    assert classify(code, words).trouble is trouble


@pytest.mark.parametrize("code", [c.name for c in grpc.StatusCode if c.name != "OK"])
def test_every_code_means_something_without_words(code: str) -> None:
    failure = classify(code, "")
    assert failure.trouble in Trouble
    assert failure.text == code


def test_a_reason_is_one_line() -> None:
    assert classify("INTERNAL", "[request id: <id_unknown>] Traceback:\n  File\tx\n").text == "Traceback: File x"


@pytest.mark.parametrize(
    ("words", "short"),
    [
        (("failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:443: Failed to connect to remote "
         "host: Connection refused"), "Connection refused"),
        (("errors resolving box:8001: [field:hostname lookup error:address lookup failed for box:8001: Domain name not "
         "found]"), "Domain name not found"),
        ("failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:8000: Socket closed",
         "it hangs up on gRPC, whose port is 8001 by default; 8000 is HTTP's"),
        ("failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Tls handshake failed (X): y: OK",
         "the TLS handshake failed"),
    ],
)  # fmt: skip
def test_the_reason_is_taken_out_of_grpcs_words(words: str, short: str) -> None:
    assert classify("UNAVAILABLE", words).text == short


def test_what_may_help_is_sent_again_and_what_may_harm_is_not() -> None:
    assert classify("UNAVAILABLE", "").resend
    assert classify("RESOURCE_EXHAUSTED", "").resend
    assert not classify("INTERNAL", "the model failed").resend
    assert not classify("DEADLINE_EXCEEDED", "").resend
