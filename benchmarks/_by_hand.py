"""What an engineer does by hand, for ``generate.py``: simplify, write a configuration, load once, ask once.

python _by_hand.py model.onnx FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxsim
from tritonclient.grpc import InferenceServerClient, InferInput

from kit.server import embedded
from kit.server.interface import ServerOptions

CONFIG = """
name: "by_hand"
backend: "onnxruntime"
default_model_filename: "model.onnx"
max_batch_size: 4
input [ {{ name: "{input}" data_type: TYPE_FP32 dims: {shape} }} ]
output [ {outputs} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
"""


def main() -> None:
    """Do it, and print the shape of the answer."""
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    model, equal = onnxsim.simplify(onnx.load(str(source)), check_n=1)
    assert equal
    version = folder / "by_hand" / "1"
    version.mkdir(parents=True)
    onnx.save(model, str(version / "model.onnx"))
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    outputs = ", ".join(
        f'{{ name: "{o.name}" data_type: TYPE_FP32 dims: {[d.dim_value for d in o.type.tensor_type.shape.dim][1:]} }}'
        for o in model.graph.output
    )
    name = model.graph.input[0].name
    (folder / "by_hand" / "config.pbtxt").write_text(CONFIG.format(input=name, shape=shape, outputs=outputs))
    with embedded.running(ServerOptions(repository=folder)) as server, InferenceServerClient(server.grpc_url) as client:
        picture = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
        request = InferInput(name, list(picture.shape), "FP32")
        request.set_data_from_numpy(picture)
        print(client.infer("by_hand", [request]).as_numpy(model.graph.output[0].name).shape)


if __name__ == "__main__":
    main()
