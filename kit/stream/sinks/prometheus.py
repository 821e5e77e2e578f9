"""Metrics for Prometheus, read at ``http://127.0.0.1:PORT/metrics``: the counts that the totals at the end have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kit.errors import MissingExtraError, PortInUseError
from kit.stream.sinks._address import Address
from kit.stream.sinks.interface import Emission, Note, OpenSink, Takes, Target
from kit.stream.snapshot import BOUNDS_MS, CameraView, Snapshot, Spread


class Prometheus:
    """Names begin with ``kit_camera_``; each has the label ``camera``."""

    name = "prometheus"
    flag = "--metrics"
    key = "metrics"
    takes = Takes.PORT
    help = "Serve metrics for Prometheus at http://127.0.0.1:PORT/metrics."
    whole = False

    def check(self, target: Target) -> None:
        """Take ``PORT`` or ``HOST:PORT``."""
        Address.parse(str(target), flag=self.flag)

    def open(self, target: Target, watch: Callable[[], Snapshot]) -> OpenSink:
        """Listen."""
        address = Address.parse(str(target), flag=self.flag)
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError as error:
            raise MissingExtraError("prometheus-client", "camera", self.flag) from error
        registry = CollectorRegistry()
        registry.register(Collector(watch))
        try:
            server, _ = start_http_server(address.port, address.host, registry)
        except OSError as error:
            raise PortInUseError(f"{address} cannot be listened on: {error.strerror}; give another port") from error
        return Exporter(server, address.host)


class Exporter:
    """Serves until it is closed."""

    def __init__(self, server: Any, host: str) -> None:
        self._server = server
        self._host = host

    @property
    def port(self) -> int:
        """The port, also where 0 was asked for."""
        return int(self._server.server_port)

    @property
    def greeting(self) -> str:
        """Where the metrics are."""
        return f"metrics at http://{self._host}:{self.port}/metrics"

    def take(self, emission: Emission) -> None:
        """Count nothing here: counts are read when they are asked for."""

    def note(self, note: Note) -> None:
        """Tell nothing."""

    def close(self, last: Snapshot) -> None:
        """Stop to listen."""
        self._server.shutdown()
        self._server.server_close()


class Collector:
    """Makes the metrics of a snapshot."""

    def __init__(self, watch: Callable[[], Snapshot]) -> None:
        self._watch = watch

    def describe(self) -> list[Any]:
        """Nothing is known before it is collected."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield every metric, with its value for each camera."""
        now = self._watch()
        yield from self._counters(now)
        yield from self._gauges(now)
        yield from self._histograms(now)
        yield from self._sinks(now)

    @staticmethod
    def _counters(now: Snapshot) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        for name, about, count in _COUNTERS:
            metric = CounterMetricFamily(f"kit_camera_{name}", about, labels=["camera"])
            for view in now.cameras:
                metric.add_metric([view.camera], count(view))
            yield metric
        dropped = CounterMetricFamily(
            "kit_camera_frames_dropped", "Frames without a result, by cause.", labels=["camera", "cause"]
        )
        for view in now.cameras:
            for cause, number in view.totals.dropped.items():
                dropped.add_metric([view.camera, cause.value], number)
        yield dropped

    @staticmethod
    def _gauges(now: Snapshot) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        for name, about, value in _GAUGES:
            gauge = GaugeMetricFamily(f"kit_camera_{name}", about, labels=["camera"])
            for view in now.cameras:
                if (seen := value(view)) is not None:
                    gauge.add_metric([view.camera], seen)
            yield gauge

    @staticmethod
    def _histograms(now: Snapshot) -> Iterator[Any]:
        from prometheus_client.core import HistogramMetricFamily

        for name, about, spread in _HISTOGRAMS:
            histogram = HistogramMetricFamily(f"kit_camera_{name}", about, labels=["camera"])
            for view in now.cameras:
                if (times := spread(view)) is not None:
                    histogram.add_metric([view.camera], list(_buckets(times)), times.sum_ms / 1e3)
            yield histogram

    @staticmethod
    def _sinks(now: Snapshot) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        errors = CounterMetricFamily("kit_camera_sink_errors", "Failures of a sink.", labels=["sink"])
        missed = CounterMetricFamily(
            "kit_camera_sink_missed", "Results that a sink was too slow or too broken for.", labels=["sink"]
        )
        for sink in now.sinks:
            errors.add_metric([sink.name], sink.errors)
            missed.add_metric([sink.name], sink.missed)
        yield errors
        yield missed


def _buckets(times: Spread) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*(str(b / 1e3) for b in BOUNDS_MS), "+Inf"), times.buckets, strict=True):
        total += count
        yield bound, total


_COUNTERS: tuple[tuple[str, str, Callable[[CameraView], float]], ...] = (
    ("frames_captured", "Frames that left the decoder.", lambda view: view.totals.captured),
    ("frames_emitted", "Frames with a result.", lambda view: view.totals.emitted),
    ("reconnects", "Connections after the first.", lambda view: view.reconnects),
    ("errors", "Frames lost to the server or to the decoder.", lambda view: view.errors),
)
_GAUGES: tuple[tuple[str, str, Callable[[CameraView], float | None]], ...] = (
    ("captured_fps", "Frames captured a second, over 5 s.", lambda view: view.captured_fps),
    ("inferred_fps", "Results a second, over 5 s.", lambda view: view.inferred_fps),
    ("connected", "1 while pictures come.", lambda view: float(view.connected)),
    ("in_flight", "Frames in the slot or with the server.", lambda view: view.in_flight),
    ("newest_frame_age_seconds", "Age of the newest picture.", lambda view: view.newest_s),
)
_HISTOGRAMS: tuple[tuple[str, str, Callable[[CameraView], Spread | None]], ...] = (
    ("result_age_seconds", "From the decoder to the emission of the result.", lambda view: view.age),
    ("answer_seconds", "From sending the request to its answer.", lambda view: view.answer),
)

MEMBER = Prometheus()
