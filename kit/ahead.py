"""What the stages after a source need, made ready while another process is at work on the source."""

from __future__ import annotations

import importlib

from kit import axis, render

_LIBRARIES = (
    "onnxruntime", "onnx", "onnxsim", "numpy.random", "google.protobuf.text_format", "tritonclient.grpc",
    "grpc.experimental",
)  # fmt: skip
_OWN = ("kit.compare", "kit.config", "kit.external", "kit.graph")
_AXES = ("kit.heads", "kit.tasks", "kit.runners")


def make_ready() -> None:
    """Import libraries and members, and compile the template of configurations."""
    for name in (*_LIBRARIES, *_OWN):
        importlib.import_module(name)
    for package in _AXES:
        for name in axis.names(package):
            axis.member(package, name)
    render.make_ready()
