"""Serve computer vision at the edge with NVIDIA Triton."""

__version__ = "0.1.0"
