"""Triton's messages, as its own server wrote them, become one line that keeps the reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.server import messages


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            ("load failed for model 'm': version 1 is at UNAVAILABLE state: Internal: TritonModelException: unexpected "
            "inference input 'a', allowed inputs are: x\n\nAt:\n  /run/model.py(60): initialize\n;"),
            "unexpected inference input 'a', allowed inputs are: x",
        ),
        (
            "Internal: RuntimeError: [ONNXRuntimeError] : 7 :\n  failed\n\nAt:\n  /x.py(3): <module>\n",
            "[ONNXRuntimeError] : 7 : failed",
        ),
        ("Invalid argument: ensemble 'e' depends on 'm'", "ensemble 'e' depends on 'm'"),
        ("failed to load 'zz', failed to poll from model repository", ("failed to load 'zz', failed to poll from model "
         "repository")),
        ("", ""),
    ],
)  # fmt: skip
def test_the_reason_stays_and_its_wrapping_goes(message: str, expected: str) -> None:
    assert messages.reason(message) == expected


@given(st.text())
def test_a_reason_is_one_line_whatever_triton_says(message: str) -> None:
    reason = messages.reason(message)
    assert len(reason.splitlines()) <= 1
    assert len(reason) <= 1000


LOG = """\
I1122 09:11:58.214575 12772 cuda_memory_manager.cc:117] "CUDA memory pool disabled"
[libprotobuf ERROR /tmp/text_format.cc:337] Error parsing text-format inference.ModelConfig: 1:17: Expected integer, got: {
E1122 09:11:58.215378 12772 model_repository_manager.cc:1460] "Poll failed for model directory 'broken': failed to read text proto from /r/broken/config.pbtxt"
E1122 09:11:59.014905 12865 model_repository_manager.cc:1460] "Poll failed for model directory 'reports': Invalid model name: Could not determine backend"
E1122 10:29:12.987142 24883 model_repository_manager.cc:724] "failed to load model 'raw': at least one version must be available under the version policy of model 'raw'"
E1122 09:12:01.006440 12865 tritonserver.cc:2607] "Internal: failed to load all models"
"""  # noqa: E501


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            "broken",
            (
                "failed to read text proto from /r/broken/config.pbtxt: Error parsing text-format "
                "inference.ModelConfig: 1:17: Expected integer, got: {"
            ),
        ),
        ("reports", "Invalid model name: Could not determine backend"),
        ("raw", "at least one version must be available under the version policy of model 'raw'"),
        ("other", None),
    ],
)
def test_why_a_folder_could_not_be_read_stands_in_the_log(model: str, expected: str | None) -> None:
    assert messages.poll_reason(LOG, model) == expected


def test_the_last_error_of_a_log() -> None:
    assert messages.log_reason(LOG) == "failed to load all models"
    assert messages.log_reason("") == "its log is empty"
    missing = "tritonserver: error while loading shared libraries: libz.so.1: cannot open shared object file"
    assert messages.log_reason(missing) == missing
