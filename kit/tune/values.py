"""What is asked of a tuning, what is tried, and what came of it. Times in milliseconds unless a name says otherwise."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Need:
    """What must hold: ``cameras`` of ``fps`` frames a second each, answered so that p99 is at most ``p99_ms``.

    ``cameras`` 0: as many requests a second as hold it ("maximum throughput under p99"). ``fail_ratio`` is the share of
    requests that may fail or be late.
    """

    p99_ms: float
    cameras: int = 0
    fps: float = 15.0
    fail_ratio: float = 0.01

    @property
    def rate(self) -> float | None:
        """Requests a second that must be held, or None: the most that can be."""
        return self.cameras * self.fps if self.cameras else None


@dataclass(frozen=True, kw_only=True, order=True)
class Candidate:
    """A way to serve a model. ``variant`` names a precision or runtime of it ("" is the one that the target has).

    The others are what a spec calls ``max_batch_size``, ``instances``, ``queue_delay_us`` and ``threads``.
    """

    variant: str = ""
    instances: int
    max_batch_size: int
    queue_delay_us: int
    threads: int

    @property
    def title(self) -> str:
        """It in a few words, for a line of a table."""
        threads = {0: "a thread per core", 1: "1 thread"}.get(self.threads, f"{self.threads} threads")
        parts = [f"{self.instances}x batch {self.max_batch_size}", threads]
        parts += [f"delay {self.queue_delay_us / 1000:g} ms"] if self.queue_delay_us else []
        return ", ".join([*([self.variant] if self.variant else []), *parts])


class Stage(enum.Enum):
    """What a measurement was for."""

    SERVICE = "service time"
    SEARCH = "search"
    CONFIRM = "confirmation"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A load of one rate: requests a second that were asked for and answered, and the response times' percentiles.

    ``mean_batch`` is that of the whole measurement: the server's count is not read between two steps.
    """

    asked_rate: float
    rate: float
    p50_ms: float | None
    p99_ms: float | None
    fail_ratio: float
    mean_batch: float | None
    held: bool


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A candidate under an open loop of rising steps.

    ``capacity`` is the largest rate that is held (0: none): between the last step that held and the first that did not,
    by their p99. ``memory_bytes`` is the server's resident memory with its
    children, None where the server is elsewhere. ``failed`` says why nothing could be measured: the server refused the
    configuration or died of it. ``noisy`` is set where the machine did other work meanwhile, with how that was seen.
    """

    candidate: Candidate
    stage: Stage
    steps: tuple[Step, ...] = ()
    capacity: float = 0.0
    memory_bytes: int | None = None
    seconds: float = 0.0
    failed: str = ""
    noisy: str = ""


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A candidate with all that was measured of it. ``low`` and ``high`` bound its capacity, from its repetitions."""

    candidate: Candidate
    capacity: float
    low: float
    high: float
    p99_ms: float | None
    memory_bytes: int | None
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a tuning came to.

    ``best`` has the most head-room; of those whose intervals overlap, the least memory, then latency. ``holds`` says
    whether it holds the need. ``before`` is what the repository says now, measured in the same way. ``frontier`` are
    the candidates that none beats in throughput, p99 and memory at once. ``considered`` is how many candidates there
    were; ``why`` are the reasons, a line each, from the arithmetic to the confirmation; ``sure`` says how sure it is.
    """

    need: Need
    target: str
    model: str
    best: Ranked | None
    before: Ranked | None
    holds: bool
    ranked: tuple[Ranked, ...]
    frontier: tuple[Ranked, ...]
    considered: int
    why: tuple[str, ...]
    sure: str
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is searched; None: what the machine and the model suggest. ``budget_s`` ends the search where it stands."""

    instances: tuple[int, ...] | None = None
    max_batch_sizes: tuple[int, ...] | None = None
    queue_delays_us: tuple[int, ...] | None = None
    threads: tuple[int, ...] | None = None
    budget_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """A tuning to be made of a published repository, without changing a byte of it.

    ``url`` is a running Triton with explicit model control, whose configuration is put back at the end; None: a server
    is started by ``engine`` (embedded, docker). ``variants`` are further repositories with the same model in another
    precision or runtime, by a name for each. ``images`` are sent (None: random values). ``journal`` gets each
    measurement as it is made, and a tuning that finds one of the same job goes on from there, unless ``fresh``.
    ``target_folders`` hold the user's own targets.
    """

    repository: Path
    model: str
    target: str
    need: Need
    limits: Limits = field(default_factory=Limits)
    variants: dict[str, Path] = field(default_factory=dict)
    url: str | None = None
    engine: str = "embedded"
    images: Path | None = None
    journal: Path | None = None
    fresh: bool = False
    target_folders: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Told:
    """How far a tuning is: ``measured`` of about ``planned`` measurements; ``candidate`` is under way now."""

    stage: Stage
    candidate: Candidate
    measured: int
    planned: int
    latest: Measurement | None = None
    best: Ranked | None = None
    note: str = ""
