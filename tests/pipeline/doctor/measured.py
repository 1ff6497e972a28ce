"""A measurement of nobody's machine, in numbers that are easy to reckon with."""

from pipeline.doctor.pictures import Trial, Trials
from pipeline.doctor.samples import Sample
from pipeline.doctor.speed import Speed

SPEEDS = {
    "linear_svm": Speed("linear_svm", start=2.0, product=1e-11, sweep=5e-10, peak=700_000_000),
    "underfit": Speed("underfit", start=2.0, begin=1.0, step=0.01, parameters=1000, peak=800_000_000),
    "efficientnet_lite0": Speed(
        "efficientnet_lite0",
        start=2.0,
        begin=2.0,
        embed=0.01,
        num_features=1280,
        parameters=3_000_000,
        peak=1_000_000_000,
    ),
}


def make_trials(used: int, lost: dict[str, int] | None = None, label: str = "cat") -> Trials:
    """Pictures of 400 × 300 and 100 kB that take 3 ms to inspect and 2 ms to decode. lost: how many for each reason."""
    good = [Trial(Sample(f"{label}/{i}.jpg", label), "", 100_000, 400, 300, 0.003, 0.002) for i in range(used)]
    bad = [
        Trial(Sample(f"{label}/{reason}-{i}.jpg", label), reason)
        for reason, n in (lost or {}).items()
        for i in range(n)
    ]
    return Trials((*good, *bad))
