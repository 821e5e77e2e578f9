"""What a load is, and what a generator tells while it makes it. Times in seconds unless a name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field

from kit.load.arrivals.interface import Scene
from kit.load.histogram import Histogram
from kit.load.profile import Profile


@dataclass(frozen=True, kw_only=True)
class ModelShare:
    """A model and its part of the requests, in proportion to ``weight``; each request holds ``batch`` elements."""

    name: str
    version: str = ""
    weight: float = 1.0
    batch: int = 1

    @property
    def title(self) -> str:
        """How it is called in results."""
        return f"{self.name}:{self.version}" if self.version else self.name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A load.

    ``arrivals`` names a pattern of ``kit.load.arrivals`` (open loop); None: ``profile`` is of users, who each send when
    they have an answer (closed loop).

    ``images`` is a folder whose pictures are sent (None: random values); ``shapes`` are the sizes of inputs that a
    model leaves open, by name, without the batch. An arrival that is sent more than ``late_ms`` after it was due is
    late, and one that finds ``in_flight`` requests of its process under way is refused: both have failed.
    ``generators`` is how many processes share the load. ``pages`` tells locust of each request, for its own pages,
    which costs some of the rate.
    """

    url: str
    models: tuple[ModelShare, ...]
    profile: Profile
    arrivals: str | None = "poisson"
    scene: Scene = field(default_factory=lambda: Scene(seed=1))
    protocol: str = "grpc"
    images: str | None = None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    warmup_s: float = 1.0
    timeout_s: float = 5.0
    in_flight: int = 256
    late_ms: float = 10.0
    generators: int = 1
    pages: bool = False


@dataclass(kw_only=True)
class Cell:
    """What became of the requests of one model that were due in one second; below 0 it is the warm-up's.

    ``response`` counts from when a request was due to its answer, ``service`` from when it was sent, ``lag`` from due
    to sent. ``late`` ones are answered too, and so in the histograms; ``refused`` ones were never sent.
    """

    phase: int
    second: int
    model: str
    due: int = 0
    answered: int = 0
    late: int = 0
    refused: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    response: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)

    def merge(self, other: Cell) -> None:
        """Add another one's."""
        self.due += other.due
        self.answered += other.answered
        self.late += other.late
        self.refused += other.refused
        for text, count in other.errors.items():
            self.errors[text] = self.errors.get(text, 0) + count
        self.response.merge(other.response)
        self.service.merge(other.service)
        self.lag.merge(other.lag)

    @property
    def failed(self) -> int:
        """Requests that were not answered as they should be."""
        return self.refused + sum(self.errors.values()) + self.late


@dataclass(frozen=True, kw_only=True)
class Message:
    """What one generator tells. ``wall_s`` is now; ``started_s`` when its warm-up ended, by the same clock of the day.

    ``busy`` is the CPU that it has used since the last message, in cores. ``cells`` are new counts; those of the same
    second are to be added. ``lost_s`` is for how long nothing but refused connections has come back.
    """

    generator: int
    wall_s: float
    started_s: float
    busy: float
    in_flight: int
    cells: tuple[Cell, ...] = ()
    lost_s: float = 0.0
    ended: bool = False
