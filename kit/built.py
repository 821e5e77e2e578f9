"""Whether what a runtime loads answers as the graph that it was made of.

As the contract is compared (``kit.compare``): a twin of the graph that also gives what is inside, so that a rounding
error in front of a threshold cannot look like a fault behind it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from kit import runners, tasks
from kit.inputs import Samples
from kit.runtimes.interface import Runtime
from kit.targets.values import Target
from kit.types import Graphs, Model, Parity

EXACT = "@f32"
"""Ends a reference of a runner whose library may compute in less than the file says: it is computed as it says."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """What was seen. ``served`` is how far the numbers inside are apart as the backend computes them on this machine.

    It is a share of their range: of ``parity``, where the library computes in what the file says.
    """

    parity: Parity
    served: float

    @property
    def lowered(self) -> bool:
        """Whether the backend computes in less than the file says, on this machine."""
        return self.served > max(self.parity.tolerance, *(d.relative for d in self.parity.differences))


def check(
    graphs: Graphs,
    precise: Model,
    runtime: Runtime,
    target: Target,
    samples: Samples,
    sizes: tuple[int, ...],
    folder: Path,
) -> Built:
    """Hold what ``runtime`` builds of ``precise`` against ONNX Runtime's answers. ``folder`` is for the twin.

    Raises ``ParityError``, and what building and running raise.
    """
    from kit import compare

    names = _inner(graphs)
    twin = _twin(precise, names, folder)
    made = runtime.build(twin, target, folder)
    before = compare.Answers(compare.runner(twin.path), samples)
    with ExitStack() as stack:
        as_served = stack.enter_context(runners.open(str(made.path)))
        exactly = _exactly(str(made.path))
        exact = stack.enter_context(runners.open(exactly)) if exactly else as_served
        after = compare.Answers(exact.run, samples)
        parity = compare.check_built(runtime.name, graphs, precise, before, after, samples, sizes)
        given = as_served.run(samples.batch(sizes[0]))
        served = max(compare.difference(n, before.at(sizes[0])[n], given[n]).relative for n in names)
    return Built(parity=parity, served=served)


def _exactly(reference: str) -> str | None:
    return f"{reference}{EXACT}" if runners.resolve(reference).reads(f"{reference}{EXACT}") else None


def _inner(graphs: Graphs) -> tuple[str, ...]:
    """Return the tensors inside that are looked at: the network's outputs in their order, and the task's own."""
    meaning, outputs = graphs.meaning, graphs.network.signature.outputs
    if meaning.contract == "native":
        return tuple(tensor.name for tensor in outputs)
    task = tasks.get(meaning.task)
    return (*(f"network/{tensor.name}" for tensor in outputs), *(f"{task.name}/{name}" for name in task.inner))


def _twin(precise: Model, names: tuple[str, ...], folder: Path) -> Model:
    """Write the graph with what is inside as further outputs."""
    import onnx

    import kit.graph

    proto = onnx.load(str(precise.path))
    known = {value.name for value in proto.graph.output}
    inferred = {v.name: v for v in onnx.shape_inference.infer_shapes(proto).graph.value_info}
    more = [name for name in names if name not in known]
    proto.graph.output.extend(inferred.get(name, onnx.ValueInfoProto(name=name)) for name in more)
    path = folder / "twin.onnx"
    return kit.graph.save(proto, path)
