"""What to train within budget.minutes: the best rung of a ladder that fits, by what was measured on this machine.

Time decides once, here, before anything runs: what a plan says becomes parameters. metrics/plan.json is taken as it is, on any
machine, while it is for the same budget and as many pictures.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pipeline.config.budget import name_plan
from pipeline.config.reader import check_params, read_params
from pipeline.config.recipes import resolve_family
from pipeline.config.sections import Params
from pipeline.doctor.findings import collect_warnings
from pipeline.doctor.minutes import Estimate, estimate_run
from pipeline.doctor.pictures import try_pictures
from pipeline.doctor.plan_file import Plan, compute_digest, load_plan, save_plan
from pipeline.doctor.plan_table import write_table
from pipeline.doctor.rungs import LADDERS, Rung
from pipeline.doctor.samples import take_samples
from pipeline.doctor.speed import Request, Speed, measure_speeds
from pipeline.doctor.subject import Subject, look_at_source
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.machine import count_cores
from pipeline.runtime.paths import PARAMS, PLAN

logger = logging.getLogger(__name__)

_PATIENCE = 5  # three seconds of steps each: a moment in which other programs ran shall not decide
# Times those seconds, in runs of minutes: 0.95 to 1.15 for embed, 0.95 to 1.09 for training.
_LONG_EMBED, _LONG_TAIL = 1.05, 1.04
_SECONDS = 240.0  # that a measurement may take on a busy machine; where nothing else runs, it takes ten


def make_plan(overrides: Mapping[str, Any], file: Path = PARAMS) -> Plan:
    """The plan in metrics/plan.json if it is for this budget and as many pictures; else a new one, which is saved there.

    overrides: other values for parameters of the file, by name. Raises PipelineError where there is no budget, where pictures
    can't be counted yet, and for a budget that is too small, with the least.
    """
    began, content = time.perf_counter(), read_params(file)
    params = check_params(content, overrides)
    minutes = params.budget.minutes
    if minutes is None:
        raise PipelineError("budget.minutes is null: expected the minutes of a run, as `python -m stages.plan 15`")
    subject = count_pictures(params, "budget.minutes")
    ladder = _list_rungs(LADDERS[params.budget.preset], content, overrides)
    key = _compute_key(params, subject, ladder)
    if (found := load_plan(key)) is not None:
        logger.info("%s is for this budget and as many pictures: it is taken as it is, and nothing is measured", PLAN)
        return found
    speeds: dict[int, Speed] = {}  # by the side at which they were measured: another one only if a rung needs it
    trials, cores = try_pictures(take_samples(subject, params), params), count_cores()

    def estimate(rung: Rung) -> Estimate:
        values: dict[str, Any] = {**overrides, **rung.overrides}
        planned = check_params(content, values)
        side = rung.measured_size
        if side not in speeds:
            measured = next(other for other in ladder if other.size == side)
            speeds[side] = _measure(measured, overrides, file, len(subject.classes))
        scaled = dict.fromkeys(rung.families, scale(speeds[side], rung.size / side))
        sizes = (subject.splits, len(subject.classes))
        found = estimate_run(planned, *sizes, trials, scaled, cores.quota or cores.usable)
        return replace(found, data=found.data + time.perf_counter() - began)

    chosen, better = choose(ladder, estimate, minutes)
    rung, times = chosen
    plan = Plan(
        key=key,
        minutes=minutes,
        settings=[*rung.settings, f"budget.plan={name_plan(params.budget, compute_digest([key, rung.settings]))}"],
        lines=write_table(params.budget, subject.splits, chosen, better),
        predicted=round(times.seconds / 60, 2),
        speed=asdict(speeds[rung.measured_size]),
    )
    save_plan(plan)
    return plan


def choose(
    ladder: tuple[Rung, ...], estimate: Callable[[Rung], Estimate], minutes: float
) -> tuple[tuple[Rung, Estimate], tuple[Rung, Estimate] | None]:
    """The first rung, of those from the best to the cheapest, that fits; and the one before it, which does not. Raises
    PipelineError, with the least minutes, where none does."""
    before: list[tuple[Rung, Estimate]] = []
    for rung in ladder:
        found = (rung, estimate(rung))
        if found[1].seconds <= 60 * minutes:
            return found, before[-1] if before else None
        before.append(found)
    least = min(found.seconds for _, found in before) / 60
    raise PipelineError(
        f"budget.minutes {minutes:g} is too small for anything: expected {least + 0.05:.1f} or more here, for {before[-1][0]}; "
        "fewer pictures take less: prune.max_images_per_class"
    )


def _list_rungs(ladder: tuple[Rung, ...], content: dict[str, Any], overrides: Mapping[str, Any]) -> tuple[Rung, ...]:
    """Without those that average mirror images, where the parameters say that these are wrong for pictures, as of digits."""

    def applies(rung: Rung) -> bool:
        values: dict[str, Any] = {**overrides, **replace(rung, mirrored=False).overrides}
        params = check_params(content, values)
        augment = resolve_family(params, rung.families[0]).augment
        return augment is not None and augment.mirrors

    return tuple(rung for rung in ladder if not rung.mirrored or applies(rung))


def scale(speed: Speed, ratio: float = 1.0) -> Speed:
    """What was measured in seconds, for minutes and a smaller side, as many times as long: convolutions take time by the area.
    Training after a cut does not: on maps as small as 5 × 5 and 4 × 4 it took 1.86 and 1.75 ms an image."""
    area = ratio**2
    embed, tail = speed.embed * area * _LONG_EMBED, speed.tail * _LONG_TAIL
    return replace(speed, embed=embed, tail=tail, cut_numbers=round(speed.cut_numbers * area))


def count_pictures(params: Params, what: str) -> Subject:
    """The source, with its pictures counted. what: needs them. Raises PipelineError where they can't be counted yet."""
    with collect_warnings("pipeline.sources"):  # `locate` gives them again
        subject = look_at_source(params)
    for finding in subject.findings:
        if finding.stops:
            raise PipelineError(finding.text)
    if not subject.is_known:
        raise PipelineError(
            f"{what} needs the number of pictures, which only a download can tell: run `dvc repro download` with "
            "budget.minutes null first"
        )
    return subject


def _compute_key(params: Params, subject: Subject, ladder: tuple[Rung, ...]) -> str:
    budget = params.budget.model_dump(include={"minutes", "preset"})
    rungs = [asdict(rung) for rung in ladder]
    return compute_digest([budget, subject.splits, len(subject.classes), params.image_size, rungs])


def _measure(rung: Rung, overrides: Mapping[str, Any], file: Path, num_classes: int) -> Speed:
    """Of one rung, on whose backbone all others are."""
    logger.info(
        "measuring how fast this machine embeds and trains at %d px; fifteen seconds where nothing else runs", rung.size
    )
    values: dict[str, Any] = {**overrides, **rung.overrides}
    request = Request([rung.families[0]], values, _SECONDS, num_classes, str(file), patience=_PATIENCE)
    speeds, trouble = measure_speeds(request)
    if not speeds:
        raise PipelineError(
            f"the measurement for a plan ended before its end: {trouble or 'this machine is too busy'}; the parameters run "
            "without a plan where budget.minutes is null"
        )
    return speeds[rung.families[0]]
