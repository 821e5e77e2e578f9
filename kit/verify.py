"""Ask a real Triton: the staged repository is loaded, and its answers are compared with those of its runtime here.

Four levels of what was seen, the best first: ``live`` (this configuration was loaded and answered), ``weights``
(the same model file answered under another configuration; this one was read back and held to Triton's rules),
``offline`` (only that: no server can run here), ``none`` (the user said so).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit import runners, runtimes
from kit.answered import Answered
from kit.cache import Key, tool_version
from kit.errors import VerificationError
from kit.inputs import Recipe, Samples
from kit.server import embedded, environment
from kit.server.environment import ServerEnvironment
from kit.stages import Stages
from kit.standby import Standby
from kit.targets.values import Target
from kit.types import Artifact, DataType, Entry, Tensor, Verification

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient

    from kit.compare import Arrays
    from kit.runners.interface import Runner
    from kit.server.interface import RunningServer

STAND_IN = "x86-cpu"
"""The target under whose configuration a model answers where all its own targets need a GPU."""

_SERVER = f"Triton {environment.TRITON_VERSION} (embedded)"
_OTHER_KERNELS = 1e-4
"""Allowed where the server's ONNX Runtime is another version than ours: other kernels round otherwise."""

_LOAD_TIMEOUT_S = 600
_INFER_TIMEOUT_S = 300


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A target's configuration that is to be verified. ``threads`` is what it gives ONNX Runtime."""

    target: Target
    artifact: Artifact
    text: str
    max_batch_size: int
    threads: int

    @property
    def reference(self) -> str:
        """What ``kit.runners`` is asked for, to compute as the server does.

        A size of batch that Triton knows is compiled in, by runtimes that tell the difference.
        """
        fixed = str(self.artifact.path)
        free = f"{fixed}@dynamic"
        known = self.max_batch_size > 0 or not self.artifact.signature.batched
        return fixed if known or not runners.resolve(fixed).reads(free) else free

    @property
    def runs_here(self) -> bool:
        """Whether a server without a GPU can load this configuration."""
        backend = self.target.backend(self.artifact.backend)
        return backend is not None and backend.instance_kind == "KIND_CPU"

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes that are asked: 1 and the largest."""
        return tuple(sorted({1, max(1, self.max_batch_size)}))


def _elsewhere(target: Target) -> str:
    """Say where a live answer was seen on another kind of machine than the target's: the server is x86-64 only."""
    architecture = target.device.architecture
    return "" if architecture == "x86_64" else f"by {_SERVER} on x86_64; not run on {architecture}"


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """Decides what a real server has still to be asked, and asks it. ``mode``: see ``planning.Options``."""

    stages: Stages
    entry: Entry
    candidates: tuple[Candidate, ...]
    recipe: Recipe
    mode: str
    stand_in: Callable[[Artifact], Candidate]
    standby: Standby
    answered: Answered

    @contextmanager
    def beside(self) -> Iterator[Callable[[], Mapping[str, Verification]]]:
        """Let the server work while the ``with`` block does; the yielded function waits for its verdict.

        Raises ``VerificationError``, ``ModelLoadError``, or why no server could be started.
        """
        with self._asked() as verdict:
            for candidate in self.candidates:  # while the server is loading
                self._require_readable(candidate)
            yield verdict

    def _asked(self) -> AbstractContextManager[Callable[[], Mapping[str, Verification]]]:
        """Ask the server, or find that there is nothing to ask or nobody who could answer."""
        if self.mode == "none":
            return nullcontext(lambda: self._all("none", "--no-verify was given"))
        wanted = self._wanted()
        if not wanted:
            return nullcontext(self._from_cache)
        reason = embedded.unavailable_reason()
        if reason is not None:
            return nullcontext(lambda: self._all("offline", reason))
        return self._running(wanted)

    @contextmanager
    def _running(self, wanted: tuple[Candidate, ...]) -> Iterator[Callable[[], Mapping[str, Verification]]]:
        made = environment.prepare((c.artifact.backend for c in wanted), self.stages.progress.note)
        tolerances = tuple(_allowed(made, c.artifact) for c in wanted)
        server = self.standby.take()
        # Leaving by an error kills the server first; then the thread beside it fails fast and is joined.
        with ThreadPoolExecutor(max_workers=1) as side, _killed(server), _given_up(self.answered):
            job = side.submit(answers, server, self.entry, wanted, self.recipe, tolerances, self.answered)

            def verdict() -> Mapping[str, Verification]:
                start = time.perf_counter()
                self.answered.close()
                with self.stages.progress.working("verify"):
                    job.result()
                names = ", ".join(dict.fromkeys(c.target.name for c in wanted))
                sizes = ", ".join(str(b) for b in sorted({b for c in wanted for b in c.batches}))
                equal = _agreement(wanted, tolerances)
                self.stages.finished("verify", f"{_SERVER} {equal} at batch {sizes} on {names}", start)
                return self._keep(wanted, tolerances)

            yield verdict

    def _wanted(self) -> tuple[Candidate, ...]:
        """Return the configurations to run: none where the model file has answered before and nothing else is asked."""
        here = tuple(c for c in self.candidates if c.runs_here)
        asked = {c.artifact.digest for c in here}
        others = {c.artifact.digest: c.artifact for c in self.candidates if c.artifact.digest not in asked}
        if self.mode != "live" and all(self._find(self._weights_key(c)) for c in self.candidates):
            return ()
        return (*here, *(self.stand_in(artifact) for artifact in others.values()))

    def _keep(self, ran: tuple[Candidate, ...], tolerances: tuple[float, ...]) -> Mapping[str, Verification]:
        """Remember what was seen, of each configuration and of each model file, so that the next run need not ask."""
        for candidate, tolerance in zip(ran, tolerances, strict=True):
            name = candidate.target.name
            seen = Verification(
                target=name, level="live", server=_SERVER, batches=candidate.batches, tolerance=tolerance
            )
            self._remember(self._live_key(candidate), seen)
            same_file = [c for c in ran if c.artifact.digest == candidate.artifact.digest]
            every = tuple(sorted({size for c in same_file for size in c.batches}))
            self._remember(self._weights_key(candidate), replace(seen, batches=every))
        return {c.target.name: self._seen(c) for c in self.candidates}

    def _remember(self, key: Key, seen: Verification) -> None:
        self.stages.anew(key, Verification, lambda _: seen)

    def _from_cache(self) -> Mapping[str, Verification]:
        start = time.perf_counter()
        found = {c.target.name: self._seen(c) for c in self.candidates}
        self.stages.finished("verify", f"{_SERVER} has answered with this model before", start, cached=True)
        return found

    def _seen(self, candidate: Candidate) -> Verification:
        """Return the best that was ever seen of a configuration, by this run too where it does every stage anew."""
        cache = replace(self.stages.cache, fresh=False)
        live = cache.find(self._live_key(candidate), Verification)
        if live is not None and candidate.runs_here:
            return replace(live, target=candidate.target.name, reason=_elsewhere(candidate.target))
        weights = cache.find(self._weights_key(candidate), Verification)
        assert weights is not None
        why = "this configuration was read back and held to Triton's rules"
        if candidate.artifact.engine is not None:
            why += "; what answered is the ONNX that its engine is built from, by kit build on the device"
        elif not candidate.runs_here:
            why += "; it needs a GPU to be loaded"
        return replace(weights, target=candidate.target.name, level="weights", reason=why)

    def _all(self, level: str, reason: str) -> Mapping[str, Verification]:
        self.stages.progress.note(f"not verified by a real Triton: {reason}")
        return {
            c.target.name: Verification(target=c.target.name, level=level, server=None, reason=reason)
            for c in self.candidates
        }

    def _require_readable(self, candidate: Candidate) -> None:
        """Hold a configuration to Triton's rules, without a server. Raises ``VerificationError``."""
        files = sorted(path.relative_to(self.entry.path).as_posix() for path in self.entry.path.rglob("*"))
        parameters = (candidate.target, candidate.artifact.signature, files)
        key = Key(stage="config", inputs=(candidate.text,), parameters=parameters, tools=("tritonclient", "protobuf"))

        def work(_: Path) -> tuple[str, ...]:
            from kit import config

            return config.check_config(
                candidate.text,
                name=self.entry.name,
                signature=candidate.artifact.signature,
                target=candidate.target,
                folder=self.entry.path,
            )

        problems = self.stages.quietly(key, tuple[str, ...], work)
        if problems:
            raise VerificationError(f"render: configs/{candidate.target.name}.pbtxt: {'; '.join(problems)}")

    def _find(self, key: Key) -> Verification | None:
        return self.stages.cache.find(key, Verification)

    def _live_key(self, candidate: Candidate) -> Key:
        return replace(self._weights_key(candidate), stage="verify live", parameters=candidate.text)

    def _weights_key(self, candidate: Candidate) -> Key:
        artifact = candidate.artifact.portable
        inputs = (*(file.digest for file in artifact.files), artifact.backend, _SERVER)
        return Key(stage="verify", inputs=inputs, tools=_runner(artifact).tools)


@contextmanager
def _killed(server: RunningServer) -> Iterator[None]:
    try:
        yield
    finally:
        server.kill()


@contextmanager
def _given_up(answered: Answered) -> Iterator[None]:
    try:
        yield
    finally:
        answered.give_up()


def _runner(artifact: Artifact) -> Runner:
    return runners.resolve(str(artifact.path))


def _allowed(made: ServerEnvironment, artifact: Artifact) -> float:
    """Return how far the server's answers may be from those of the same file run here: not at all by the same library.

    Another version of it has other kernels, which round otherwise.
    """
    here = {tool.rpartition("/")[2]: tool_version(tool).split()[0] for tool in _runner(artifact).tools}
    return 0.0 if all(made.has(name, version) for name, version in here.items()) else _OTHER_KERNELS


def _agreement(candidates: tuple[Candidate, ...], tolerances: tuple[float, ...]) -> str:
    """Say whom the server agrees with: ``equals ONNX Runtime and OpenVINO``."""
    names = dict.fromkeys(runtimes.title(c.artifact.portable.backend) for c in candidates)
    loosest = max(tolerances)
    return f"{f'is within {loosest:g} of' if loosest else 'equals'} {' and '.join(names)}"


def answers(
    server: RunningServer,
    entry: Entry,
    candidates: tuple[Candidate, ...],
    recipe: Recipe,
    tolerances: tuple[float, ...],
    answered: Answered,
) -> None:
    """Load a staged model under each configuration and compare what it answers at each batch size.

    A configuration that is the folder's ``config.pbtxt`` is read by the server from there, others are sent to it.
    With the same number of threads and the same version, a runtime runs the same kernels: the answers are then equal
    to the bit (a tolerance of 0). What the comparison of the stages finds out anyway is waited for, not run again.
    Raises ``ModelLoadError`` with Triton's reason and ``VerificationError``.
    """
    default = (entry.path / "config.pbtxt").read_text(encoding="utf-8")
    waiting: list[tuple[Candidate, dict[int, Arrays], float]] = []
    with ThreadPoolExecutor(max_workers=1) as side:
        samples = side.submit(recipe.make)
        for candidate, tolerance in zip(candidates, tolerances, strict=True):
            known = candidate.artifact.digest == answered.digest and candidate.threads == 0
            # The runtime answers here while Triton is loading.
            expected = None if known else side.submit(_expected, candidate, samples)
            _load(server, entry.name, None if candidate.text == default else candidate.text)
            got = _ask(server, entry.name, candidate, samples.result())
            if expected is None:
                waiting.append((candidate, got, tolerance))
            else:
                _require_all_equal(candidate, expected.result(), got, tolerance)
        for candidate, got, tolerance in waiting:
            if not _agrees(candidate, answered.wait(), got, tolerance):
                _require_all_equal(candidate, _expected(candidate, samples), got, tolerance)


def _agrees(candidate: Candidate, known: Mapping[int, Arrays], got: Mapping[int, Arrays], tolerance: float) -> bool:
    """Tell whether the server answered what is known of the same file, opened to be looked into.

    Where it did not, the file as it is has the last word: what is looked into may be computed otherwise.
    """
    if not set(candidate.batches) <= set(known):
        return False
    try:
        _require_all_equal(candidate, known, got, tolerance)
    except VerificationError:
        return False
    return True


def _require_all_equal(
    candidate: Candidate, expected: Mapping[int, Arrays], got: Mapping[int, Arrays], tolerance: float
) -> None:
    title = runtimes.title(candidate.artifact.portable.backend)
    for size in candidate.batches:
        wanted = _as_sent(expected[size], candidate.artifact.signature.outputs, candidate.max_batch_size)
        _require_equal(f"{candidate.target.name}, batch {size}", title, wanted, got[size], tolerance)


def _expected(candidate: Candidate, samples: Future[Samples]) -> dict[int, Arrays]:
    with runners.open(candidate.reference, threads=candidate.threads) as running:
        return {size: running.run(samples.result().batch(size)) for size in candidate.batches}


def _ask(server: RunningServer, name: str, candidate: Candidate, samples: Samples) -> dict[int, Arrays]:
    from tritonclient.grpc import InferenceServerClient

    with InferenceServerClient(server.grpc_url) as client:
        return {size: _infer(client, name, candidate, samples.batch(size)) for size in candidate.batches}


def _load(server: RunningServer, name: str, text: str | None) -> None:
    if text is None:
        server.load(name)
        return
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    from kit import config

    try:
        with InferenceServerClient(server.grpc_url) as client:
            client.load_model(name, config=config.to_load_override(text), client_timeout=_LOAD_TIMEOUT_S)
    except InferenceServerException as error:
        raise VerificationError(f"verify: Triton refused {name}: {' '.join(error.message().split())}") from error


def _as_sent(values: Arrays, tensors: tuple[Tensor, ...], max_batch_size: int) -> Arrays:
    """Return arrays as Triton's clients see them: one number for each input has a dimension of 1 (``kit.render``)."""
    import numpy as np

    bare = {t.name for t in tensors if len(t.shape) == (1 if max_batch_size > 0 else 0)}
    return {n: np.asarray(v)[..., np.newaxis] if n in bare else v for n, v in values.items()}


def _infer(client: InferenceServerClient, name: str, candidate: Candidate, frames: Arrays) -> Arrays:
    from tritonclient.grpc import InferInput
    from tritonclient.utils import InferenceServerException

    inputs, signature = [], candidate.artifact.signature
    feeds = _as_sent(frames, signature.inputs, candidate.max_batch_size)
    for tensor in signature.inputs:
        value = feeds[tensor.name]
        inputs.append(InferInput(tensor.name, list(value.shape), tensor.dtype.value))
        inputs[-1].set_data_from_numpy(value)
    try:
        result = client.infer(name, inputs, client_timeout=_INFER_TIMEOUT_S)
    except InferenceServerException as error:
        raise VerificationError(f"verify: Triton did not answer for {name}: {error.message()}") from error
    return {t.name: result.as_numpy(t.name) for t in signature.outputs if t.dtype is not DataType.BF16}


def _require_equal(where: str, title: str, expected: Arrays, got: Arrays, tolerance: float) -> None:
    import numpy as np

    from kit import compare

    for name, value in got.items():
        wanted = expected[name]
        if value is None or value.shape != wanted.shape:
            shape = "nothing" if value is None else f"shape {value.shape}"
            raise VerificationError(f"verify ({where}): {name} should have shape {wanted.shape}, Triton gave {shape}")
        if value.dtype == np.object_:
            apart = compare.difference(name, wanted.astype(str), np.char.decode(value.astype(np.bytes_)))
        else:
            apart = compare.difference(name, wanted, value)
        if apart.nan or not apart.relative <= tolerance:
            raise VerificationError(
                f"verify ({where}): {name} is {apart.maximum:.3g} from {title}'s answer "
                f"({apart.relative:.3g} of its range, allowed {tolerance:g})"
            )
