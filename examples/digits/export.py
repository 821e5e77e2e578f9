"""Writes `digits.onnx` from the committed weights: `python -m examples.digits.export`.

The same weights and versions of torch, onnxscript and onnx give the same bytes, from any folder.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import onnx
import torch
from onnx.external_data_helper import uses_external_data
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from examples.digits.network import CLASS_COUNT, IMAGE_SIZE_PX, STRIDES_PX, ConvBlock, detector

ONNX_PATH = Path(__file__).with_name("digits.onnx")
OPSET = 18


def metadata() -> dict[str, str]:
    """What Ultralytics' exporter writes into its models, so that its readers understand this one."""
    return {
        "imgsz": str([IMAGE_SIZE_PX, IMAGE_SIZE_PX]),
        "names": str({digit: str(digit) for digit in range(CLASS_COUNT)}),
        "stride": str(max(STRIDES_PX)),
        "task": "detect",
    }


def folded(network: nn.Module) -> nn.Module:
    """A copy in which each batch normalisation has become part of the convolution before it."""
    network = copy.deepcopy(network)
    for block in network.modules():
        if isinstance(block, ConvBlock):
            convolution, normalisation = block[0], block[1]
            block[0], block[1] = fuse_conv_bn_eval(convolution, normalisation), nn.Identity()
    return network


def traced() -> onnx.ModelProto:
    """The detector as torch's exporter gives it: input `images`, output `output0`, a dynamic batch axis."""
    example = torch.zeros(2, 3, IMAGE_SIZE_PX, IMAGE_SIZE_PX)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which is not used
        warnings.simplefilter("ignore")  # torch's and onnxscript's own deprecations, which change with each release
        program = torch.onnx.export(
            folded(detector()),
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["output0"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1, max=1024)}},
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export(dynamo=True) gave no program; use torch 2.6 or later")
    return program.model_proto


def cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the exporter's notes (they hold paths of the machine that ran it), with our metadata."""
    graph = model.graph
    for holder in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del holder.metadata_props[:]
        holder.ClearField("doc_string")
    if any(uses_external_data(tensor) for tensor in graph.initializer):
        raise RuntimeError("the exporter put weights outside the model; export with external_data=False")
    onnx.helper.set_model_props(model, metadata())
    onnx.checker.check_model(model, full_check=True)
    return model


def export(path: Path = ONNX_PATH) -> Path:
    """Write the model to `path`: first under a temporary name, then renamed."""
    draft = path.with_suffix(".onnx.part")
    draft.write_bytes(cleaned(traced()).SerializeToString(deterministic=True))
    draft.replace(path)
    return path


def record(path: Path) -> None:
    """Write the model's SHA-256 and the versions that gave it beside it, as `digits.onnx.json`."""
    versions = {name: version(name).partition("+")[0] for name in ("torch", "onnxscript", "onnx")}
    document = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "versions": versions}
    path.with_name(path.name + ".json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Export, record how, and say how large the file is."""
    path = export()
    record(path)
    print(f"wrote {path.name}, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
