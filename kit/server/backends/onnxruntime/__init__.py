"""Triton's backend ``onnxruntime``."""
