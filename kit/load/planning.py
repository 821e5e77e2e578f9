"""What is said on the command line becomes a plan; what cannot be is told at once."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from kit.errors import LoadError, UsageError
from kit.load import arrivals, generating, protocols, quantities
from kit.load.arrivals.interface import Scene
from kit.load.generating import Hosts
from kit.load.profile import Profile, held, parse
from kit.load.values import ModelShare, Plan
from kit.load.verdict import Limits


@dataclass(frozen=True, kw_only=True)
class Said:
    """The options of ``kit load``, as they were typed; None and empty: not said."""

    models: tuple[str, ...]
    url: str | None
    rate: str | None
    cameras: int | None
    fps: str | None
    users: str | None
    arrivals: str | None
    jitter: str
    duration: str
    warmup: str
    knee: bool
    p50: str | None
    p90: str | None
    p95: str | None
    p99: str | None
    p999: str | None
    fail_ratio: str
    min_rate: str | None
    images: Path | None
    batch: int
    shapes: tuple[str, ...]
    version: str
    protocol: str
    timeout: str
    in_flight: int
    late: str
    seed: int
    processes: int
    master: int | None
    master_port: int
    web: int | None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A plan, what it is held to, and where the load is made. ``steps``: the largest step that holds is what counts."""

    plan: Plan
    limits: Limits
    hosts: Hosts
    knee: bool

    @property
    def steps(self) -> bool:
        """Whether a knee is looked for."""
        return self.knee and self.plan.profile.steps


def plan(said: Said) -> Asked:
    """Read the options. Raises ``UsageError``, and ``LoadError`` where they do not fit each other."""
    if not said.models:
        raise UsageError("no model is named; give --model NAME")
    pattern, profile = _load(said)
    if said.knee and not profile.steps:
        raise LoadError("--knee needs steps; give --rate 10..400/8 or --rate 10,20,40")
    if said.master is not None and said.processes > 1:
        raise LoadError("--master sends nothing itself; leave out --processes, and give it to no worker")
    hosts = Hosts(
        processes=said.processes, master=said.master is not None, workers=said.master or 0, port=said.master_port,
        web_port=said.web,
    )  # fmt: skip
    made = Plan(
        url=said.url or protocols.get(said.protocol).url,
        models=tuple(_share(text, said) for text in said.models),
        profile=profile,
        arrivals=pattern,
        scene=Scene(seed=said.seed, cameras=said.cameras or 1, jitter=quantities.share(said.jitter)),
        protocol=said.protocol,
        images=None if said.images is None else str(said.images.resolve()),
        shapes=dict(_shape(text) for text in said.shapes),
        warmup_s=0.0 if said.warmup.strip() in ("0", "0s") else quantities.seconds(said.warmup),
        timeout_s=quantities.seconds(said.timeout),
        in_flight=said.in_flight,
        late_ms=quantities.milliseconds(said.late),
        generators=hosts.generators,
        pages=said.web is not None,
    )
    return Asked(plan=made, limits=_limits(said), hosts=hosts, knee=said.knee)


def be_worker(address: str, port: int) -> int:
    """Become a locust worker of a master at ``HOST`` or ``HOST:PORT``; this process is it from then on."""
    generating.require()
    host, _, told = address.rpartition(":") if address.rpartition(":")[2].isdigit() else (address, "", "")
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:  # locust would ask again and again
        raise LoadError(
            f'"{host}" is no machine that can be found ({error.strerror}); give --worker HOST or HOST:PORT'
        ) from error
    words = generating.worker(host, int(told or port))
    os.chdir(generating.NEUTRAL)
    os.execve(words[0], words, generating.environment())  # noqa: S606 (no shell is meant)


def _load(said: Said) -> tuple[str | None, Profile]:
    """Return the pattern of arrivals (None: closed loop) and the profile."""
    ways = {"--rate": said.rate, "--cameras": said.cameras, "--users": said.users}
    chosen = [name for name, value in ways.items() if value is not None]
    if len(chosen) != 1:
        given = " and ".join(chosen) + " were given" if chosen else "nothing says how much to send"
        raise UsageError(f"{given}; give one of --rate 50, --cameras 4 --fps 15, or --users 4")
    seconds = quantities.seconds(said.duration)
    if said.fps is not None and said.cameras is None:
        raise LoadError("--fps is of --cameras; give --cameras N, or --rate alone")
    if said.cameras is not None:
        if said.arrivals is not None:
            raise LoadError(f"--cameras have arrivals of their own; leave out --arrivals {said.arrivals}")
        return arrivals.of_cameras(), held([said.cameras * quantities.number(said.fps or "15", "rate")], seconds)
    if said.users is not None:
        if said.arrivals is not None:
            raise LoadError("--users send when they have an answer; --arrivals are of --rate")
        return None, parse(said.users, seconds, "number of users")
    arrivals.get(said.arrivals or "poisson")
    return said.arrivals or "poisson", parse(said.rate or "", seconds)


def _share(text: str, said: Said) -> ModelShare:
    name, _, weight = text.partition("=")
    return ModelShare(
        name=name,
        version=said.version,
        weight=quantities.number(weight, f"weight of {name}") if weight else 1.0,
        batch=said.batch,
    )


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    parts = sizes.replace(",", "x").split("x")
    if not name or not all(part.isdigit() and int(part) for part in parts):
        raise UsageError(f'"{text}" is no shape; give NAME=3x640x640, without the batch')
    return name, tuple(int(part) for part in parts)


def _limits(said: Said) -> Limits:
    given = {50.0: said.p50, 90.0: said.p90, 95.0: said.p95, 99.0: said.p99, 99.9: said.p999}
    return Limits(
        percentiles_ms={percent: quantities.milliseconds(text) for percent, text in given.items() if text is not None},
        fail_ratio=quantities.share(said.fail_ratio),
        min_rate=None if said.min_rate is None else quantities.number(said.min_rate, "rate"),
    )
