"""A candidate as a configuration that Triton takes for a load, in the place of the one on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit import config
from kit.tune.subject import THREADS, Variant
from kit.tune.values import Candidate

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_NAME = "batch of "
"""How the kit names its warmups; those of other names are somebody's own."""


def override(variant: Variant, candidate: Candidate) -> str:
    """Return the JSON of ``variant``'s configuration with the candidate's batching, for ``Channel.load``."""
    from google.protobuf import text_format

    return config.to_load_override(text_format.MessageToString(configured(variant, candidate), as_utf8=True))


def configured(variant: Variant, candidate: Candidate) -> ModelConfig:
    """Return ``variant``'s configuration with the candidate's batching; all else is as it was."""
    parsed = config.parse(variant.text)
    del parsed.instance_group[1:]
    if not parsed.instance_group:
        parsed.instance_group.add()
    parsed.instance_group[0].count = candidate.instances
    if parsed.max_batch_size:
        _batching(parsed, candidate)
        _warmup(parsed, candidate.max_batch_size)
    if variant.threads:
        _threads(parsed, variant, candidate)
    return parsed


def _batching(parsed: ModelConfig, candidate: Candidate) -> None:
    size = candidate.max_batch_size
    parsed.max_batch_size = size
    for spec in reversed(range(len(parsed.optimization.cuda.graph_spec))):
        if parsed.optimization.cuda.graph_spec[spec].batch_size > size:
            del parsed.optimization.cuda.graph_spec[spec]
    if size <= 1:
        parsed.ClearField("dynamic_batching")
        return
    batching = parsed.dynamic_batching
    # Above the largest preferred size the batcher waits: https://github.com/triton-inference-server/server/issues/8141
    preferred = sorted({min(found, size) for found in batching.preferred_batch_size})
    del batching.preferred_batch_size[:]
    batching.preferred_batch_size.extend(preferred)
    batching.max_queue_delay_microseconds = candidate.queue_delay_us


def _warmup(parsed: ModelConfig, size: int) -> None:
    """Warm the sizes that can come: Triton 2.51 was seen to die (139) of a warmup larger than ``max_batch_size``."""
    kept = [found for found in parsed.model_warmup if found.batch_size <= size]
    if parsed.model_warmup and all(found.name.startswith(_NAME) for found in parsed.model_warmup):
        kept = []
        for batch in sorted({*(1 << exponent for exponent in range(size.bit_length())), size}):
            made = type(parsed.model_warmup[0])()
            made.CopyFrom(parsed.model_warmup[0])
            made.name, made.batch_size = f"{_NAME}{batch}", batch
            kept.append(made)
    del parsed.model_warmup[:]
    parsed.model_warmup.extend(kept)


def _threads(parsed: ModelConfig, variant: Variant, candidate: Candidate) -> None:
    key = THREADS[variant.backend]
    if candidate.threads or variant.backend == "onnxruntime":
        parsed.parameters[key].string_value = str(candidate.threads)
    elif key in parsed.parameters:
        del parsed.parameters[key]  # OpenVINO takes no 0
