"""Triton's backend ``openvino``."""
