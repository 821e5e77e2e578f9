"""Converts a program of ``torch.export`` to LiteRT and runs it; under the Python of the environment ``litert``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.environments.serve import Ask
    from kit.environments.wire import Refused
else:
    from kit_wire import Refused

_SIGNATURE = "serving_default"


def convert(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write ``place`` from ``program``; with ``int8``, quantised on the stream ``feeds``."""
    import litert_torch
    import torch

    program = torch.export.load(ask.data["program"])
    module = _named(program.module(), ask.data)
    examples = {}
    for name, value in zip(ask.data["inputs"], program.example_inputs[0], strict=True):
        examples[name] = value.permute(0, 2, 3, 1).contiguous() if name in ask.data["pictures"] else value
    ask.tell("converting to LiteRT")
    try:
        converted = litert_torch.convert(module, sample_kwargs=examples)
    except Exception as error:
        raise Refused(_reason(error)) from error
    converted.export(ask.data["place"])
    if ask.data["int8"]:
        _quantise(ask)
    return {"scales": _scales(ask.data["place"])}, {}


def _named(module: Any, data: dict[str, Any]) -> Any:
    """Return the network with named inputs and outputs, and pictures turned to NHWC."""
    import torch

    class Named(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = module

        def forward(self, **given: Any) -> Any:
            turned = [
                given[name].permute(0, 3, 1, 2) if name in data["pictures"] else given[name] for name in data["inputs"]
            ]
            made = self.network(*turned)
            values = list(made.values()) if isinstance(made, dict) else made
            values = values if isinstance(values, (list, tuple)) else [values]
            return dict(zip(data["outputs"], values, strict=True))

    return Named()


def _quantise(ask: Ask) -> None:
    from ai_edge_quantizer import quantizer, recipe

    place = ask.data["place"]
    made = quantizer.Quantizer(place)
    made.load_quantization_recipe([*recipe.static_wi8_ai8(), *_kept(place)])
    feeds = _Feeds(ask)
    found = made.calibrate({_SIGNATURE: feeds})
    ask.tell("quantising to INT8")
    made.quantize(found).export_model(place, overwrite=True)


def _scales(path: str) -> dict[str, tuple[float, int]]:
    """Return scale and zero point of what the file takes and gives as integers that stand for numbers."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=path).get_signature_runner()
    details = {**runner.get_input_details(), **runner.get_output_details()}
    return {name: detail["quantization"] for name, detail in details.items() if detail["quantization"][0]}


def _kept(path: str) -> list[dict[str, Any]]:
    """Return rules that leave the outputs floats, and what joins them: boxes and scores must not share a scale."""
    from ai_edge_litert.interpreter import Interpreter

    names = [re.escape(detail["name"]) for detail in Interpreter(model_path=path).get_output_details()]
    wanted = [("OUTPUT", ".*"), *(("CONCATENATION", name) for name in names)]
    return [
        {"regex": regex, "operation": operation, "algorithm_key": "no_quantize", "op_config": {}}
        for operation, regex in wanted
    ]


class _Feeds:
    """What the kit gives, as LiteRT takes it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number, feeds in enumerate(self._ask.stream("feeds"), 1):
            self._ask.tell(f"calibrating, picture {number}")
            pictures = self._ask.data["pictures"]
            yield {n: v.transpose(0, 2, 3, 1).copy() if n in pictures else v for n, v in feeds.items()}


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
