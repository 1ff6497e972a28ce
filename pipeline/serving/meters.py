"""What /metrics tells, in Prometheus' format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Meters:
    """Counters of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        make = {"registry": self._registry}
        self.requests = Counter("requests", "Requests by path and status", ["path", "status"], **make)
        self.seconds = Histogram("request_seconds", "From a request's head to its answer, by path", ["path"], **make)
        self.pictures = Counter("pictures", "Pictures: classified, none_of_these, unusable", ["outcome"], **make)
        self.batch = Histogram("batch_pictures", "Pictures in a batch", buckets=_SIZES, **make)
        self.waiting = Gauge("waiting_pictures", "Pictures that are decoded or wait for the model", **make)
        self.reloads = Counter("reloads", "Model files that were loaded, or were not", ["outcome"], **make)
        self.model = Info("model", "What is served", **make)

    def render(self) -> bytes:
        return generate_latest(self._registry)
