"""How long a run takes at most, in words."""

from pipeline.doctor.findings import Finding
from pipeline.doctor.minutes import Estimate

_LONG = 3600.0  # seconds, from which a remark is worth its line


def show_time(seconds: float) -> str:
    """'12 s', '3.4 min', '2.1 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe_minutes(estimate: Estimate, seconds: float, *, is_known: bool) -> tuple[list[str], list[Finding]]:
    """seconds: that the measurement was given. is_known: whether the pictures were counted, else it is for 1,000."""
    start = "at most" if is_known else "for 1,000 pictures, at most"
    more = " and what was not measured" if estimate.unmeasured else ""
    lines = [f"{start} {show_time(estimate.seconds)}{more}: data and report {show_time(estimate.data)}, and"]
    width = max(len(family) for family in estimate.families)
    for family, time in estimate.families.items():
        embed = f", embed {show_time(time.embed)}" if time.embed > 2 else ""
        rest = f"train {show_time(time.train)}{embed}, evaluate {show_time(time.evaluate)}"
        lines.append(f"{family:<{width}}  {show_time(time.seconds):>8}: {rest} ({time.what})")
    for name, times in (("crossval", estimate.crossval), ("search", estimate.search)):
        lines += [f"{name} of {family}: {show_time(found)}" for family, found in times.items()]
    if estimate.unmeasured:
        lines.append(f"not measured in {seconds:g} s: {', '.join(estimate.unmeasured)}; try --seconds {3 * seconds:g}")
    return lines, _find_slow(estimate)


def _find_slow(estimate: Estimate) -> list[Finding]:
    slowest = max(estimate.families, key=lambda family: estimate.families[family].seconds)
    seconds = estimate.families[slowest].seconds
    if seconds < _LONG:
        return []
    return [
        Finding(
            f"{slowest} may take {show_time(seconds)}: to try the data first, set train.max_epochs or "
            "prune.max_images_per_class, or leave it out of families"
        )
    ]
