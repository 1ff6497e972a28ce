"""A plan in words: a table with what each family takes, printed before anything starts."""

from pipeline.config.sections import Budget
from pipeline.doctor.minutes import Estimate
from pipeline.doctor.rungs import Rung
from pipeline.doctor.times import show_time


def write_table(
    budget: Budget, splits: dict[str, int], chosen: tuple[Rung, Estimate], better: tuple[Rung, Estimate] | None
) -> list[str]:
    """Lines. splits: pictures of train, val and test. better: the rung before the chosen one, which does not fit."""
    rung, times = chosen
    width = max(map(len, (*times.families, "data and report")))
    pictures = " / ".join(f"{splits[name]:,}" for name in ("train", "val", "test"))
    counts = f"{pictures} pictures to train, validate and test on; and this plan"
    lines = [
        f"plan for {budget.minutes:g} minutes, {budget.preset}: {rung}",
        f"{'data and report':<{width}}  {show_time(times.data):>8}  {counts}",
    ]
    for family, time in times.families.items():
        parts = f"embed {show_time(time.embed)}, train {show_time(time.train)}, evaluate {show_time(time.evaluate)}"
        lines.append(f"{family:<{width}}  {show_time(time.seconds):>8}  {parts}")
    lines.append(f"{'in all':<{width}}  {show_time(times.seconds):>8}  and a download, which is not measured")
    if better is not None:
        lines.append(f"better, but {show_time(better[1].seconds)}: {better[0]}")
    return lines
